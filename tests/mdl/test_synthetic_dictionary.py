"""The benchmark with a known sparse dictionary, on few samples: its totals, and what each code helps."""

import importlib.util
import math
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).parents[2] / "benchmarks" / "synthetic_dictionary.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("synthetic_dictionary", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(benchmark):
    return benchmark.planted(4000)


def test_simplest_codes_cost_what_theory_says(benchmark, data):
    """Gaussian coordinates, a uniform strength on .05, binary entropies, noise on the grid."""
    told = benchmark.equal_distortion(data)
    variance = 256 * 0.02 * (1 + 1 / 12) / 64 + 1e-4
    ideal = 64 * math.log2(math.sqrt(2 * math.pi * math.e * variance) / 0.02)
    assert told["neuron basis"]["values"] == pytest.approx(ideal, rel=0.015)
    assert told["PCA"]["values"] == pytest.approx(
        ideal - 6.3, rel=0.015
    )  # Marchenko-Pastur at 1/4: .0988 each
    truth = told["true dictionary"]
    assert truth["support"] == pytest.approx(256 * 0.1414, rel=0.02)
    assert truth["values"] == pytest.approx(256 * 0.02 * math.log2(1 / 0.05), rel=0.03)
    assert truth["parts"] == 256 * 64 * 16 / 4000
    assert truth["correction"] == pytest.approx(85, rel=0.02)


def test_every_better_code_is_no_longer(benchmark, data):
    """From the third stage on all codes are for the same integers: each is taken only where it is shorter."""
    for explanation, step in benchmark.messages(data):
        bills = [bill for _, bill in benchmark.stages(explanation, step, data.x)]
        for earlier, later in pairwise(bills[1:-1]):
            assert sum(later.values()) <= sum(earlier.values()) + 8  # an empty stream has a header
        assert sum(bills[-1].values()) < sum(bills[0].values())


def test_fractions_take_most_of_the_misalignment_off_the_residual(benchmark, data):
    truth = benchmark.messages(data)[2][0]
    bills = dict(benchmark.stages(truth, 0.05, data.x))
    blind = bills["+ residual: shared by classes, parametric"]["correction"]
    seeing = bills["+ residual: by fraction of the prediction"]["correction"]
    assert seeing < 0.93 * blind
    assert torch.equal(truth.code(data.x[:9]).row.unique(), (data.a[:9] > 0).any(1).nonzero().flatten())
