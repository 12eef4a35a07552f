"""Recipes for explanations learn something in a few steps, from a seed."""

import torch
from assay.explanations.recipes.spd import SPDRecipe, decompose
from assay.explanations.recipes.topk_sae import TopKRecipe, train_topk
from assay.models import zoo


def sparse_activations(n: int = 2000) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    D = torch.nn.functional.normalize(torch.randn(24, 8, generator=g), dim=1)
    a = torch.rand(n, 24, generator=g) * (torch.rand(n, 24, generator=g) < 0.08)
    return 5 * (a @ D) + 3


def test_topk_training_lowers_its_error():
    x = sparse_activations()
    seen = []
    recipe = TopKRecipe(d_sae=24, k=3, steps=150, batch=256, lr=5e-3)
    made = train_topk(x, recipe, "here", lambda step, steps, figures: seen.append(figures["loss"]))
    assert sum(seen[-5:]) < 0.5 * sum(seen[:5])
    assert torch.allclose(made.W_dec.norm(dim=1), torch.ones(24), atol=1e-5)
    assert (made.architecture, made.k, made.site) == ("topk", 3, "here")
    error = (made.decode(made.encode(x)) - x).square().sum() / (x - x.mean(0)).square().sum()
    assert float(error) < 0.35  # in the data's own scale: the recipe's scaling is undone
    assert int((made.encode(x) > 0).sum(1).max()) <= 3


def test_topk_training_is_seeded():
    x, recipe = sparse_activations(300), TopKRecipe(d_sae=12, k=2, steps=5, batch=32)
    a, b = (train_topk(x, recipe) for _ in range(2))
    assert torch.equal(a.W_enc, b.W_enc)


def decomposed(steps: int, seen: list[float] | None = None):
    network = zoo.load("tms-5-2")
    g = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        return torch.rand(256, 5, generator=g) * (torch.rand(256, 5, generator=g) < 0.15)

    torch.manual_seed(0)
    report = None if seen is None else (lambda step, total, figures: seen.append(figures["loss"]))
    return network, decompose(network, ("W",), draw, SPDRecipe(C=8, steps=steps), progress=report)


def test_spd_training_lowers_its_loss_and_keeps_the_weight():
    seen: list[float] = []
    network, made = decomposed(300, seen)
    assert sum(seen[-5:]) < 0.3 * sum(seen[:5])
    L, R = made.factors["W"]
    W = network.parameters()["W"]
    assert float((L.T @ R - W).square().sum()) < 0.05 * float(W.square().sum())
    assert made.recipe()["C"] == 8
    assert made.recipe()["active"] == "gates"


def test_spd_components_start_from_their_recipe():
    _, made = decomposed(1)
    assert made.counts == {"W": 8}
    active = made.active({}, torch.eye(5))
    assert active.shape == (5, 1, 8)
