"""Every strategy against every sequence, evaluated exactly enough to know."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from assay.models import Network, Transformer
from assay.proofs import InputError
from assay.proofs.strategies import Subject, apply, named, strategies
from assay.proofs.strategies.catalogue import combinations, with_outputs
from assay.proofs.strategies.numerators import grid_of
from assay.proofs.strategies.numerators import outputs_of as single_outputs

SHAPES = ((2, 12), (3, 9), (4, 6))


def logits(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """All sequences [n, K] and their logits in float64, by a route of its own: the network, run."""
    shape = subject.shape
    module = Transformer(subject.network.module.config).double()
    module.load_state_dict(subject.network.module.state_dict())
    tokens = torch.tensor(list(product(range(shape.v), repeat=shape.K)))
    with torch.no_grad():
        return tokens.numpy(), module(tokens).numpy()


def right(subject: Subject) -> int:
    tokens, values = logits(subject)
    own = values[np.arange(len(tokens)), tokens.max(1)]
    values[np.arange(len(tokens)), tokens.max(1)] = -np.inf
    return int((values.max(1) < own).sum())


@pytest.mark.parametrize(("k", "v"), SHAPES)
def test_no_strategy_claims_more_than_is_true(trained, k, v):
    subject = trained(k, v)
    truth = right(subject)
    for strategy in strategies().values():
        if "real" in strategy.semantics:
            bound = apply(strategy, subject)
            assert 0 <= bound.certified <= truth, strategy.name
    assert apply(named("by-paths"), subject).certified == truth
    assert apply(named("joint-apart-exact"), subject).certified > 0.8 * truth


@pytest.mark.parametrize("seed", range(6))
def test_nor_of_models_that_were_never_trained(random_model, seed):
    subject = random_model(3, 6, seed, size=(0.3, 0.8, 2.0)[seed % 3])
    truth = right(subject)
    for strategy in [
        *strategies().values(),
        *combinations(),
        *with_outputs(named("split-apart-exact-blocks-3-bits")),
    ]:
        if "real" in strategy.semantics:
            assert apply(strategy, subject).certified <= truth, strategy.name


@pytest.mark.parametrize(("k", "v"), SHAPES)
def test_what_is_counted_is_what_has_a_negative_sum(trained, k, v):
    """The formula equals listing, for every bracket, and what is listed is right."""
    subject = trained(k, v)
    tokens, values = logits(subject)
    m = tokens.max(1)
    own = values[np.arange(len(tokens)), m]
    others = values.copy()
    others[np.arange(len(tokens)), m] = -np.inf
    for strategy in (s for s in combinations() if s.counting == "exact" and s.grid in (4, 8)):
        paths = subject.tables(strategy.QK, strategy.EU)
        choice = strategy.bracket, strategy.positions, strategy.tokens, strategy.grid
        grids = [grid_of(paths, q, *choice) for q in range(v)]
        sums = np.empty(len(tokens), dtype=np.int64)
        for i, (x, largest) in enumerate(zip(tokens, m, strict=True)):
            grid = grids[x[-1]]
            free = grid.free[largest]
            places = range(k - 1) if len(free) > 1 else [0] * (k - 1)
            sums[i] = sum(free[p, t] for p, t in zip(places, x[:-1], strict=True)) + grid.last[largest]
        assert (others.max(1) < own)[sums < 0].all(), strategy.name
        assert apply(strategy, subject).certified == (sums < 0).sum(), strategy.name


def test_single_outputs_are_bounded_from_above(trained):
    """No sequence whose sum for output j is negative has logit_j at or above the maximum's."""
    subject = trained(3, 9)
    tokens, values = logits(subject)
    for x, row in zip(tokens, values, strict=True):
        m = x.max()
        grid = single_outputs(subject.paths, int(x[-1]), int(m), "apart", 8)
        sums = grid.free[:, [0, 1], x[:-1]].sum(1) + grid.last
        below = sums < 0
        below[m] = False
        assert (row[below] < row[m]).all()


@pytest.mark.parametrize("factor", [0.25, 3.0, 1.7])
def test_scaling_the_unembedding_leaves_the_count_unchanged(trained, factor):
    subject = trained(4, 6)
    module = Transformer(subject.network.module.config)
    state = dict(subject.network.module.state_dict())
    # Products of float32 by these factors are exact in float64, which weights may be.
    module = module.double()
    module.load_state_dict({**state, "unembed.W_U": state["unembed.W_U"].double() * factor})
    scaled = Subject(Network("scaled", module, "categorical", "token", (4,), vocabulary=6))
    for name in (
        "joint-apart-exact",
        "split-together-threshold-blocks",
        "joint-apart-exact-outputs",
        "cubic",
        "by-paths",
    ):
        assert apply(named(name), scaled).certified == apply(named(name), subject).certified


def test_float32_bounds_hold_for_what_torch_computes(trained):
    subject = trained(4, 6)
    single = Subject(subject.network, "float32")
    listed = apply(named("brute-force"), single).certified
    for strategy in strategies().values():
        if "float32" in strategy.semantics and strategy.name != "brute-force":
            bound = apply(strategy, single)
            assert bound.certified <= min(listed, apply(strategy, subject).certified), strategy.name
    assert apply(named("joint-apart-exact"), single).certified > 0.8 * listed


def test_float32_logits_stay_within_what_is_granted(trained):
    subject = Subject(trained(4, 6).network, "float32")
    tokens, exact = logits(subject)
    off = subject.network(torch.tensor(tokens)).double().numpy() - exact
    spread = (off.max(1) - off.min(1)).max()
    largest = 2 * np.abs(exact).max()
    granted = subject.slack.margin / 2**subject.paths.places + subject.slack.spread / 2**30 * 2 * largest
    assert 0 < spread < granted


@pytest.mark.parametrize("k", [2, 3])
def test_a_model_that_is_always_wrong_has_nothing_certified(random_model, k):
    """It answers with the smallest token: no strategy may certify even sequences of one token alone."""
    subject = random_model(k, 5, 0)
    state = subject.network.module.state_dict()
    with torch.no_grad():
        for name in state:
            state[name].zero_()
        state["embed.W_E"][:5, :5] = torch.eye(5)
        state["unembed.W_U"][:5, :5] = -torch.eye(5)
    wrong = Subject(subject.network)
    assert right(wrong) == 0
    for strategy in strategies().values():
        if "real" in strategy.semantics:
            assert apply(strategy, wrong).certified == 0, strategy.name


@pytest.mark.parametrize("size", [1e-9, 1e-3, 0.3, 0.8])
def test_float32_bounds_hold_where_products_underflow(random_model, size):
    single = Subject(random_model(3, 6, 0, size=size).network, "float32")
    listed = apply(named("brute-force"), single).certified
    assert apply(named("joint-apart-exact-outputs"), single).certified <= listed


def test_nothing_is_said_where_float32_underflows_altogether(random_model):
    single = Subject(random_model(3, 6, 0, size=1e-42).network, "float32")
    with pytest.raises(InputError, match="semantics real has no such limit"):
        apply(named("joint-apart-exact"), single)
