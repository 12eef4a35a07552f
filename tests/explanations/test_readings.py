"""Readings against figures counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from assay.explanations import Evidence, Question, gather, weigh
from assay.mdl.grid import quantise
from assay.mdl.readings import READINGS, bits_per_value, saebench_corrected
from assay.mdl.tally import Histogram, Usage
from assay.models import Activations, load, load_dataset

MECHANISMS = ["components,from=truth", "network", "circuit,keep=0.4", "lookup"]


@pytest.fixture(scope="module")
def mechanisms():
    network = load("zoo:tms-5-2")
    question = Question("mechanism", "outputs", delta=0.1, precision=8, readings=True)
    evidence = gather(question, network, load_dataset("zoo", network, 100))
    return network, dict(zip(MECHANISMS, weigh(evidence, MECHANISMS), strict=True))


def test_parameters_are_counted(mechanisms):
    network, reports = mechanisms
    weights = sum(value.numel() for value in network.parameters().values())
    assert reports["network"].readings["parameters"] == weights
    assert reports["network"].readings["parameter_bits"] == 8 * weights
    assert reports["lookup"].readings["parameters"] == 100 * weights
    assert reports["network"].readings["edges"] == weights
    assert reports["lookup"].readings["edges"] == pytest.approx(weights)


def test_edges_of_a_circuit_are_those_it_keeps(mechanisms):
    network, reports = mechanisms
    report = reports["circuit,keep=0.4"]
    vectors = sum(v.numel() for v in network.parameters().values() if v.ndim == 1)
    assert report.readings["edges"] == report.explanation.recipe["edges"] + vectors
    assert report.readings["parameters"] == report.readings["edges"]


def test_apd_and_the_index_list_follow_l0(mechanisms):
    report = mechanisms[1]["components,from=truth"]
    l0 = report.faithfulness["l0"]
    assert report.readings["ordered_index_list"] == pytest.approx(l0 * math.log2(5))
    assert report.readings["apd"] == pytest.approx(l0 * (8 * 7 + math.log2(5)))  # rank 1: 5 + 2 numbers


def test_every_reading_has_a_heading(mechanisms):
    assert all(set(report.readings) <= set(READINGS) for report in mechanisms[1].values())


def test_readings_of_a_site_are_those_of_its_integers():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 3)) * [8, 2, 0.01]).float()
    question = Question("site", "activations", "x", 0.5, 8, readings=True)
    (report,) = weigh(Evidence(question, None, None, Activations(x, "x", "", ""), None), ["neurons"])
    integers = quantise(x, report.knobs["value_step"]).numpy()
    on, B = integers != 0, math.log2(np.ptp(integers[integers != 0]) + 1)
    assert report.readings["mdl_sae"] == pytest.approx(on.sum() / 300 * (B + math.log2(3)))
    entropies = 0.0
    for column, fires in zip(integers.T, on.T, strict=True):
        for symbols in (fires, column[fires]):
            p = np.unique(symbols, return_counts=True)[1] / max(len(symbols), 1)
            entropies -= len(symbols) / 300 * (p * np.log2(p)).sum()
    assert report.readings["saebench"] == pytest.approx(entropies)


def test_nothing_seen_reads_as_nothing():
    assert bits_per_value(Histogram()) == 0
    assert saebench_corrected(Usage.zero(3), Histogram()) == 0


def test_without_being_asked_a_report_has_no_readings():
    x = Activations(torch.ones(4, 2), "x", "", "")
    (report,) = weigh(Evidence(Question("site", "activations", "x", 0.5), None, None, x, None), ["neurons"])
    assert report.readings == {}
