"""Loss and compute recovered, against running the network by hand."""

from __future__ import annotations

import math

import pytest
import torch
from assay.explanations import Question, gather, weigh
from assay.mdl.compute import ComputeCurve, CurveError
from assay.models import Dataset, Scope, zoo
from torch.nn import functional as F


@pytest.fixture(scope="module")
def labelled():
    return zoo.load("digits"), zoo.data("digits", 120, 0)


def nats(logits: torch.Tensor, labels: torch.Tensor) -> float:
    return float(F.cross_entropy(logits.double(), labels))


def test_a_mechanism_recovers_what_it_predicts(labelled):
    network, dataset = labelled
    own = nats(network(dataset.inputs), dataset.labels)
    curve = ComputeCurve.of([(0, 2.4), (1, 2.0), (100, own)])
    question = Question("mechanism", "outputs", precision=16, readings=True, curve=curve)
    whole, answers = weigh(gather(question, network, dataset), ["network", "answers"])
    assert whole.readings["loss"] == pytest.approx(own, abs=1e-3)
    assert whole.readings["loss_recovered"] == pytest.approx(1, abs=1e-3)
    assert whole.readings["compute_recovered"] == pytest.approx(1, abs=0.01)
    typical = network(dataset.inputs).double().softmax(-1).mean(0).log()
    told = nats(typical.expand(120, -1), dataset.labels)
    assert answers.readings["loss"] == pytest.approx(told, abs=1e-3)
    floor = math.log(10)
    assert answers.readings["loss_recovered"] == pytest.approx((floor - told) / (floor - own), abs=1e-3)


def test_a_site_is_put_back_into_the_network(labelled):
    network, dataset = labelled
    question = Question("site", "activations", "layers.1", 0.01, 12, readings=True)
    fine, bare = weigh(gather(question, network, dataset), ["pca", "pca,k=1"])
    own = nats(network(dataset.inputs), dataset.labels)
    without = nats(network.patched(dataset.inputs, {"layers.1": torch.zeros_like}), dataset.labels)
    for report in (fine, bare):
        recovered = (without - report.readings["loss"]) / (without - own)
        assert report.readings["loss_recovered"] == pytest.approx(recovered, abs=1e-4)
    assert fine.readings["loss"] < own + 0.05
    assert bare.readings["loss"] > own + 0.5
    assert "compute_recovered" not in fine.readings


def test_tokens_without_labels_are_labelled_with_what_follows(transformer, tokens):
    question = Question("mechanism", "outputs", precision=14, readings=True)
    (report,) = weigh(gather(question, transformer, tokens), ["network"])
    logits = transformer(tokens.inputs)[:, :-1].flatten(0, 1)
    assert report.readings["loss"] == pytest.approx(nats(logits, tokens.inputs[:, 1:].flatten()), abs=1e-2)


def test_a_task_without_labels_has_no_loss(mlp, reals):
    dataset = Dataset("reals", reals, None, "sample", Scope("", ""))
    question = Question("mechanism", "outputs", precision=8, readings=True)
    (report,) = weigh(gather(question, mlp, dataset), ["network"])
    assert not {"loss", "loss_recovered"} & set(report.readings)


def test_a_curve_that_the_model_is_not_on_is_refused(labelled):
    network, dataset = labelled
    curve = ComputeCurve.of([(0, 2.4), (1, 2.0)])
    question = Question("mechanism", "outputs", precision=8, readings=True, curve=curve)
    with pytest.raises(CurveError, match="is not on the curve"):
        weigh(gather(question, network, dataset), ["network"])
