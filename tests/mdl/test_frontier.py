"""Rate–distortion: hulls, interpolation and crossings against brute force, and points against scores."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from assay.explanations import NeuronBasis, pca
from assay.mdl import GridTarget, SiteProblem, score_site
from assay.mdl.frontier import (
    Frontier,
    OperatingPoint,
    common_levels,
    crossings,
    gaussian_yardstick,
    site_points,
)
from assay.mdl.waterfilling import reverse_waterfilling
from hypothesis import example, given
from hypothesis import strategies as st

CLOUD = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12)


def made(cloud: list[tuple[int, int]], name: str = "a") -> Frontier:
    return Frontier(name, tuple(OperatingPoint("", 1.0, 8, float(b), fvu=float(x)) for x, b in cloud))


def brute(cloud: list[tuple[int, int]], level: float) -> float:
    """The fewest bits of any mixture of two points whose mean distortion is at most the level."""
    best = min((b for x, b in cloud if x <= level), default=math.inf)
    for (x0, b0), (x1, b1) in itertools.permutations(cloud, 2):
        if x0 <= level < x1:
            share = (level - x0) / (x1 - x0)
            best = min(best, (1 - share) * b0 + share * b1)
    return best


@given(CLOUD, st.floats(0, 45))
def test_the_hull_is_the_best_mixture_of_two_points(cloud, level):
    assert made(cloud).bits_at("fvu", level) == pytest.approx(brute(cloud, level))


@given(CLOUD, CLOUD)
@example([(0, 1), (1, 1), (2, 1)], [(0, 3), (1, 1), (2, 0)])
def test_crossings_are_exactly_where_the_order_changes(one, two):
    a, b = made(one), made(two, "b")
    at = crossings(a, b, "fvu")
    low = max(a.reach("fvu")[0], b.reach("fvu")[0])
    high = min(a.reach("fvu")[1], b.reach("fvu")[1])
    signs = [
        np.sign(a.bits_at("fvu", x) - b.bits_at("fvu", x)).item()
        for x in np.linspace(low, high, 401)
        if abs(a.bits_at("fvu", x) - b.bits_at("fvu", x)) > 1e-9
    ]
    changes = sum(p != q for p, q in itertools.pairwise(signs)) if low <= high else 0
    assert len(at) >= changes
    for x in at:
        assert low <= x <= high
        assert a.bits_at("fvu", x) == pytest.approx(b.bits_at("fvu", x), abs=1e-6)


def test_unmeasured_distortions_have_no_hull():
    assert made([(1, 1)]).hull("kl") == ()
    assert made([(1, 1)]).bits_at("kl", 3.0) == math.inf
    assert common_levels([made([(1, 1)])], "kl") == []


def test_levels_can_be_met_by_all():
    both = [made([(1, 9), (8, 1)]), made([(2, 9), (30, 1)])]
    levels = common_levels(both, "fvu")
    assert len(levels) == 5
    assert all(f.bits_at("fvu", level) < math.inf for f in both for level in levels)
    assert 2 < levels[0] < levels[-1] < 8


@pytest.fixture(scope="module")
def gaussian() -> torch.Tensor:
    """4,000 rows of a Gaussian with variances 16, 4, 1, 1/4 in a rotated basis."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    return torch.from_numpy((rng.normal(size=(4000, 4)) * [4, 2, 1, 0.5]) @ q.T).float()


def test_pca_is_a_quarter_of_a_bit_above_the_yardstick_at_high_rate(gaussian):
    problem = SiteProblem(gaussian, GridTarget(0.25), 0.25)
    frontier = Frontier("PCA", tuple(site_points(pca(gaussian), problem, precisions=(10, 12))))
    finest = frontier.hull("fvu")[0]
    ((_, bound),) = gaussian_yardstick(gaussian, [finest.fvu])
    assert (finest.bits - bound) / 4 == pytest.approx(0.5 * math.log2(2 * math.pi * math.e / 12), abs=0.06)
    neurons = Frontier("neurons", tuple(site_points(NeuronBasis(4), problem)))
    assert neurons.bits_at("fvu", finest.fvu * 1.1) > frontier.bits_at("fvu", finest.fvu * 1.1)


def test_the_yardstick_is_water_filling_on_the_spectrum(gaussian):
    spectrum = np.linalg.eigvalsh(np.cov(gaussian.numpy().T, bias=True))
    ((fvu, bits),) = gaussian_yardstick(gaussian, [0.1])
    assert bits == pytest.approx(reverse_waterfilling(spectrum, 0.1 * spectrum.sum()), rel=1e-4)
    assert fvu == 0.1


def test_an_operating_point_is_the_score_without_its_correction(gaussian):
    problem = SiteProblem(gaussian, GridTarget(0.25), 0.25)
    score = score_site(pca(gaussian), problem, precision=8)
    half_octaves = round(2 * math.log2(score.knobs["value_step"] / 0.25))
    (point,) = site_points(pca(gaussian), problem, precisions=(8,), half_octaves=[half_octaves])
    ledger = score.ledger
    told = ledger.per_sample(ledger.total - ledger.section("correction"))
    assert point.bits == pytest.approx(told, rel=1e-9)
    assert point.step == score.knobs["value_step"]
