"""Directions that a model is sensitive to, plateaus, what projecting out costs."""

from __future__ import annotations

import pytest
import torch
from assay.explanations import ExplanationError
from assay.explanations.pca import pca
from assay.explanations.trials import (
    BASELINES,
    along,
    project_out,
    respond,
    scores,
    untrained_twin,
)
from assay.models import Network, perceptron, zoo


def test_projecting_out_what_matters_is_worse_than_chance(digits, digits_data):
    a = digits.run(digits_data.inputs, capture=["layers.1"])[1]["layers.1"]
    top = pca(a, 4).rows.float()
    found = project_out(digits, digits_data.inputs, "layers.1", top)
    assert found.divergence > 2 * found.random
    lm, text = zoo.load("byte-lm"), zoo.data("byte-lm", 4, 0)
    rows = torch.randn(3, 128, generator=torch.Generator().manual_seed(0))
    direct, full = (
        project_out(lm, text.inputs, "blocks.0.hook_resid_post", rows, final, controls=1)
        for final in ("blocks.3.hook_resid_post", None)
    )
    assert (direct.path, full.path) == ("direct", "everywhere")
    assert direct.divergence != full.divergence


def test_directions_of_the_data_are_sensitive_and_controls_are_flat(digits, digits_data):
    found = {r.name: r for r in respond(digits, digits_data.inputs, "layers.1", later=["layers.2"])}
    assert found.keys() == BASELINES.keys()
    assert found["to real other"].mean(0.3) > 3 * found["isotropic"].mean(0.3)
    twin = {r.name: r.mean(0.3) for r in respond(untrained_twin(digits), digits_data.inputs, "layers.1")}
    trained = found["to real other"].mean(0.3) / found["isotropic"].mean(0.3)
    assert max(twin.values()) / min(twin.values()) < trained / 2
    last = respond(digits, digits_data.inputs, "layers.2", later=["layers.2"])
    assert all(torch.allclose(r.amplification["layers.2"], torch.ones(1), rtol=1e-4) for r in last)
    rated = {s.name: s for s in scores(list(found.values()), 0.3)}
    assert rated["covariance mix"].ratio == rated["covariance mix"].low == 1.0
    assert rated["isotropic"].high < 1.0
    own = {"own": along(torch.eye(32)), **BASELINES}
    assert len(respond(digits, digits_data.inputs, "layers.1", own)) == 6


def test_real_activations_lie_on_plateaus():
    module, data = perceptron([64, 64, 64, 10]), zoo.data("digits", 360, 0)
    torch.manual_seed(0)
    images, labels = data.inputs, data.labels
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.1)
    optimiser = torch.optim.AdamW(module.parameters(), 3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        optimiser.step()
    network = Network("deep", module, "categorical", "real", (64,))
    bases = {
        base: {r.name: r for r in respond(network, images, "layers.1", later=["layers.3"], base=base)}
        for base in ("real", "covariance-random")
    }
    real, drawn = bases["real"], bases["covariance-random"]
    assert all(drawn[name].mean(0.3) > 2 * real[name].mean(0.3) for name in ("isotropic", "real mix"))
    grown = [float(b["isotropic"].amplification["layers.3"][1].mean()) for b in bases.values()]
    assert grown[0] < grown[1]
    with pytest.raises(ExplanationError, match="base 'odd'"):
        respond(network, images, "layers.1", base="odd")


def test_an_untrained_language_model_still_answers():
    lm, text = zoo.load("byte-lm"), zoo.data("byte-lm", 3, 0)
    found = respond(untrained_twin(lm), text.inputs, "blocks.1.hook_resid_post", lengths=(0.3,))
    assert all(r.mean(0.3) > 0 for r in found)
