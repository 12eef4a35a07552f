from __future__ import annotations

import math
from importlib.metadata import EntryPoint

import pytest
import torch
from assay.models import Network, Transformer, zoo
from assay.models.zoo import max_of_k
from assay.proofs import InputError
from assay.proofs.strategies import (
    Bound,
    Meter,
    Numerators,
    Shape,
    Subject,
    apply,
    best,
    catalogue,
    frontier,
    named,
    quality,
    search,
    strategies,
    sweep,
)

BUDGETS = (1.5e6, 2e6, 5e6, 1e8)


@pytest.fixture(scope="module")
def shipped() -> Subject:
    return Subject(zoo.load("max-of-4"))


def bound(operations: int, certified: int, sequences: int = 100) -> Bound:
    return Bound(Numerators(), certified, sequences, operations, {}, 0, 0.0)


def test_published_bounds_are_beaten(shipped):
    """Gross et al. 2024: .954 relative to the accuracy for cubic proofs, .82 for sub-cubic ones."""
    tight = apply(named("joint-apart-exact"), shipped)
    assert tight.accuracy > 0.995
    assert tight.operations < 1e8
    cheap = apply(named("split-together-threshold-blocks"), shipped)
    assert cheap.accuracy > 0.95
    assert cheap.operations < 2e6
    gaps = apply(named("sub-cubic-low-rank-QK-low-rank-EU"), shipped)
    assert gaps.accuracy > 0.8
    assert gaps.operations < 1e6
    exact = apply(named("by-paths"), shipped)
    assert exact.accuracy > 0.999
    assert exact.operations < 1e8


@pytest.mark.slow
def test_the_search_recovers_or_beats_every_strategy(shipped):
    tried = search(shipped, 1e8)
    assert len(tried) > 80
    for budget in BUDGETS:
        found = best(tried, budget)
        assert found is not None
        assert found.operations <= budget
        assert all(found.certified >= b.certified for b in sweep(shipped, budget) if b.operations <= budget)


def test_nothing_fits_a_tiny_budget(trained):
    subject = trained(3, 9)
    assert search(subject, 10) == []
    assert best([], 10) is None


@pytest.mark.parametrize("shape", [Shape(12, 2, 8, 8), Shape(9, 3, 8, 8)])
def test_no_run_takes_fewer_operations_than_its_cost(trained, shape):
    subject = trained(shape.K, shape.v)
    for strategy in strategies().values():
        semantics = strategy.semantics[0]
        made = apply(strategy, Subject(subject.network, semantics))
        assert made.operations == sum(made.parts.values())
        assert made.operations >= strategy.cost(shape)
        if not isinstance(strategy, Numerators):
            assert made.operations == strategy.cost(shape)


def test_operations_are_counted_as_published():
    meter = Meter()
    meter.product("a", 3, 5, 2)
    meter.each("b", 7, times=2)
    meter.reduce("c", 4, 6)
    assert dict(meter.parts) == {"a": 3 * 2 * 9, "b": 14, "c": 20}
    assert Shape(64, 4, 32, 32).parameters == 8320


def test_the_frontier_holds_what_no_shorter_proof_reaches():
    bounds = [bound(10, 5), bound(20, 4), bound(30, 9), bound(30, 8), bound(5, 5)]
    assert [(b.operations, b.certified) for b in frontier(bounds)] == [(5, 5), (30, 9)]


def test_quality_is_the_area_under_the_steps():
    shape = Shape(64, 4, 32, 32)
    everything = named("brute-force").cost(shape)
    assert quality([bound(8320, 100)], shape) == pytest.approx(1.0)
    half = round(math.sqrt(8320 * everything))
    assert quality([bound(half, 100)], shape) == pytest.approx(0.5, abs=1e-6)
    assert quality([bound(8320, 50), bound(half, 100)], shape) == pytest.approx(0.75, abs=1e-6)


def test_a_strategy_for_another_arithmetic_is_refused(trained):
    with pytest.raises(InputError, match="sound for semantics float32, not real"):
        apply(named("brute-force"), trained(3, 9))


def test_long_lists_are_refused_by_name():
    module = Transformer(max_of_k.architecture(10, 64))
    module.initialise(0.1, torch.Generator().manual_seed(0))
    subject = Subject(Network("long", module, "categorical", "token", (10,), vocabulary=64))
    with pytest.raises(InputError, match=r"64\^10 sequences are too many to list"):
        apply(named("by-paths"), subject)


def test_near_names_are_offered():
    with pytest.raises(InputError, match="did you mean cubic"):
        named("cubik")


class Half:
    """A plug-in that knows half of it."""

    name = "half"
    argument = "faith"
    semantics = ("real",)

    def cost(self, shape):
        return 1

    def unexplained(self, shape):
        return 1

    def certified(self, subject, meter):
        meter.each("faith", 1)
        return subject.shape.sequences // 2


def test_plug_ins_are_found(trained, monkeypatch):
    point = EntryPoint("half", "plug:Half", "assay.strategies")
    monkeypatch.setattr(EntryPoint, "load", lambda self: Half)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [point])
    catalogue.strategies.cache_clear()
    try:
        assert named("half").name == "half"
        assert "half" in {b.strategy.name for b in sweep(trained(3, 9))}
    finally:
        catalogue.strategies.cache_clear()
