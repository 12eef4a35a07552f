"""Decompositions trained side by side are those that they would be alone."""

from dataclasses import replace

import pytest
import torch
from assay.explanations import ExplanationError
from assay.explanations.recipes.spd import SPDRecipe, decompose, decompose_several
from assay.models import zoo

RECIPE = SPDRecipe(C=6, steps=20, lr=1e-3)


def draw(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(64, 5, generator=generator) * (torch.rand(64, 5, generator=generator) < 0.15)


def test_a_run_does_not_depend_on_those_beside_it():
    network = zoo.load("tms-5-2")
    together = decompose_several(network, ("W",), draw, [replace(RECIPE, seed=s) for s in (3, 5)])
    (alone,) = decompose_several(network, ("W",), draw, [replace(RECIPE, seed=5)])
    assert together[1].recipe() == alone.recipe()
    for a, b in zip(together[1].factors["W"], alone.factors["W"], strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert not torch.allclose(together[0].factors["W"][0], alone.factors["W"][0], atol=1e-2)


def test_side_by_side_is_the_plain_recipe():
    network, small = zoo.load("tms-5-2"), replace(RECIPE, faithfulness=30.0, seed=1)
    generator = torch.Generator().manual_seed(small.seed)
    plain = decompose(network, ("W",), lambda: draw(generator), small)
    (beside,) = decompose_several(network, ("W",), draw, [small])
    for a, b in zip(plain.factors["W"], beside.factors["W"], strict=True):
        assert torch.allclose(a, b, atol=1e-4)
    gates = (made.importance.weights["W"]["mlp_in"] for made in (plain, beside))
    assert torch.allclose(*gates, atol=1e-4)


def test_a_recipe_gives_the_same_run_twice():
    network = zoo.load("tms-5-2")
    first, second = (decompose_several(network, ("W",), draw, [RECIPE])[0] for _ in range(2))
    assert torch.equal(first.factors["W"][0], second.factors["W"][0])


def test_recipes_that_differ_by_more_than_their_seeds_are_refused():
    with pytest.raises(ExplanationError, match="seeds alone"):
        decompose_several(zoo.load("tms-5-2"), ("W",), draw, [RECIPE, replace(RECIPE, steps=3)])


def test_gates_open_again_where_importance_is_relaxed():
    network, x = zoo.load("tms-5-2"), draw(torch.Generator().manual_seed(9))
    strong = replace(RECIPE, steps=200, lr=1e-2, importance=0.5)
    held, relaxed = (
        decompose_several(network, ("W",), draw, [replace(strong, relax=relax)])[0] for relax in (1.0, 0.0)
    )
    gates = [made.importance.importance("W", x @ made.factors["W"][1].T).mean() for made in (held, relaxed)]
    assert gates[1] > gates[0] + 0.02
