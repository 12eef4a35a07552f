"""Recipes for other kinds of SAE learn something in a few steps, from a seed."""

import pytest
import torch
from assay.explanations import ExplanationError
from assay.explanations.recipes.e2e_sae import EndToEndRecipe, lost, train_end_to_end
from assay.explanations.recipes.jumprelu_sae import JumpReLURecipe, train_jumprelu
from assay.explanations.recipes.matryoshka_sae import MatryoshkaRecipe, train_matryoshka
from assay.explanations.recipes.meta_sae import train_meta
from assay.explanations.recipes.switch_sae import SwitchRecipe, train_switch
from assay.explanations.recipes.topk_sae import TopKRecipe, train_topk
from assay.explanations.sae import SAE, nested

from .test_recipes import sparse_activations

QUICK = {"steps": 200, "batch": 256, "lr": 5e-3}


def unexplained(made: SAE, x: torch.Tensor) -> float:
    left = (made.reconstruct(x) - x).square().sum()
    return float(left / (x - x.mean(0)).square().sum())


@pytest.mark.parametrize(
    ("train", "recipe", "most"),
    [
        (train_jumprelu, JumpReLURecipe(d_sae=24, k=3, **QUICK), 0.5),
        (train_matryoshka, MatryoshkaRecipe(d_sae=24, k=3, prefixes=(12, 24), **QUICK), 0.5),
        (train_switch, SwitchRecipe(d_sae=24, k=3, experts=3, **QUICK), 0.6),
    ],
)
def test_it_explains_most_in_the_data_s_own_scale(train, recipe, most):
    x = sparse_activations()
    made = train(x, recipe, "here")
    assert unexplained(made, x) < most
    assert made.site == "here"
    assert torch.allclose(made.W_dec.norm(dim=1), torch.ones(24), atol=1e-4)
    again = train(x, recipe, "here")
    assert torch.equal(again.encode(x), made.encode(x))


def test_jump_relu_comes_near_the_sparsity_that_is_aimed_at():
    x = sparse_activations()
    made = train_jumprelu(x, JumpReLURecipe(d_sae=24, k=3, **QUICK))
    assert made.architecture == "jumprelu"
    assert 1.5 < float((made.encode(x) > 0).float().sum(1).mean()) < 6


def test_every_prefix_of_a_matryoshka_sae_explains_something():
    x = sparse_activations()
    made = train_matryoshka(x, MatryoshkaRecipe(d_sae=24, k=3, prefixes=(12, 24), **QUICK))
    assert unexplained(made, x) < unexplained(nested(made, 12), x) < 0.9


def test_a_switch_sae_uses_several_experts():
    x = sparse_activations()
    made = train_switch(x, SwitchRecipe(d_sae=24, k=3, experts=3, **QUICK))
    share = made.router.indicator(x).float().mean(0)
    assert int((share > 0.1).sum()) >= 2
    first = made.encode(x).reshape(-1, 3, 8).ne(0).any(-1).sum(1)
    assert int(first.max()) == 1


def test_a_meta_sae_finds_what_rows_are_made_of():
    g = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(16, 16, generator=g))[0][:6]
    rows = torch.zeros(200, 6).scatter(1, torch.rand(200, 6, generator=g).topk(2, 1).indices, 1.0) @ basis
    made = SAE(rows.T.clone(), rows, torch.zeros(200), torch.zeros(16))
    meta = train_meta(made, TopKRecipe(d_sae=8, k=2, **QUICK))
    assert unexplained(meta, torch.nn.functional.normalize(rows, dim=1)) < 0.3


def spliced(network, x: torch.Tensor, made: SAE) -> float:
    """KL in nats an output with the site replaced by the reconstruction."""
    return float(lost(network.patched(x, {made.site: made.reconstruct}), network(x), network.output))


def test_an_end_to_end_sae_keeps_what_the_network_does(transformer, tokens):
    """By as many features it does less damage than one that reconstructs, though it reconstructs worse."""
    site, x = "blocks.0.hook_resid_post", tokens.inputs
    acts = transformer.run(x, capture=(site,))[1][site].flatten(0, -2)
    local = train_topk(acts, TopKRecipe(d_sae=16, k=2, **QUICK), site)
    recipe = EndToEndRecipe(d_sae=16, k=2, sparsity=1e-3, **QUICK)
    made = train_end_to_end(transformer, x, recipe, site)
    silent = float(lost(transformer.patched(x, {site: torch.zeros_like}), transformer(x), "categorical"))
    assert spliced(transformer, x, made) < 0.8 * spliced(transformer, x, local) < 0.8 * silent
    assert unexplained(made, acts) > unexplained(local, acts)
    assert int((made.encode(acts) > 0).sum(1).max()) <= 2
    assert torch.allclose(made.W_dec.norm(dim=1), torch.ones(16), atol=1e-4)


def test_sparsity_makes_an_end_to_end_sae_sparser(tms, tms_data):
    """On a regression, whose loss is the variance of the outputs that is lost."""
    counts, x = [], tms_data.inputs[:500]
    acts = tms.run(x, capture=("hook_hidden",))[1]["hook_hidden"]
    for sparsity in (0.0, 0.5):
        recipe = EndToEndRecipe(d_sae=10, k=8, sparsity=sparsity, **QUICK)
        made = train_end_to_end(tms, x, recipe, "hook_hidden")
        counts.append(float((made.encode(acts) > 0).float().sum(1).mean()))
        assert spliced(tms, x, made) < 0.2
    assert counts[1] < 0.8 * counts[0]


def test_a_site_that_the_outputs_do_not_depend_on_is_refused(transformer, tokens):
    quiet = transformer.with_weights({"blocks.1.attn.W_O": torch.zeros(3, 4, 12)})
    with pytest.raises(ExplanationError, match=r"do not depend on 'blocks\.1\.attn\.hook_pattern'"):
        train_end_to_end(quiet, tokens.inputs[:4], EndToEndRecipe(4, 1), "blocks.1.attn.hook_pattern")
