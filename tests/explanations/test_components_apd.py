"""APD runs: parts over all weights, attributions, and the networks beside them."""

from __future__ import annotations

import pytest
import torch
from assay.explanations import build, load_run
from assay.explanations.components import Always, Attributions
from assay.models import load
from torch.nn.functional import gelu

from .decomposition_runs import (
    RESID,
    C,
    apd_by_hand,
    apd_run,
    apd_tensors,
    inputs,
    normal,
    received,
    residual_by_hand,
    residual_run,
    residual_state,
    subject,
)


@pytest.mark.parametrize("instance", [0, 2])
def test_parts_of_apd_go_over_all_weights_and_the_transpose(tmp_path, instance):
    run = apd_run(tmp_path / "run", {"topk": 2, "batch_topk": True, "attribution_type": "gradient"})
    network, x = load(f"{run}@{instance}"), inputs()
    assert torch.allclose(network(x), apd_by_hand(x, torch.ones(40, C), instance), atol=1e-5)
    made = build(f"components:{run},instance={instance}", subject(network, x))
    assert made.parts().count == C
    assert made.counts["linear1.weight"] == 2 * C  # rank two at most, whatever m is
    some = torch.rand(40, 1, C, generator=torch.Generator().manual_seed(6)) < 0.5
    expected = apd_by_hand(x, some[:, 0].float(), instance)
    assert torch.allclose(received(made, x, some), expected, atol=1e-4)
    # the batch of the batch top-k is all of the data
    active = made.active({}, x)
    assert int(active.sum()) == 2 * len(x)
    masks = torch.ones(40, C, requires_grad=True)
    outputs = apd_by_hand(x, masks, instance)
    scores = sum(torch.autograd.grad(o.sum(), masks, retain_graph=True)[0] ** 2 for o in outputs.T)
    assert scores.flatten()[active[:, 0].flatten()].min() > scores.flatten()[~active[:, 0].flatten()].max()


def test_attributions_by_ablation_and_by_activation(tmp_path):
    run = apd_run(tmp_path / "run", {"topk": 3, "batch_topk": False, "attribution_type": "ablation"})
    network, x = load(str(run)), inputs(12)
    made = build(f"components:{run}", subject(network, x))
    every = torch.ones(12, C)
    truth = apd_by_hand(x, every, 0)
    off = [(apd_by_hand(x, every - torch.eye(C)[c], 0) - truth).square().mean(1) for c in range(C)]
    assert torch.allclose(made.importance.scores(made, x), torch.stack(off, 1), rtol=1e-4, atol=1e-6)
    assert torch.equal(made.active({}, x).sum(-1), torch.full((12, 1), 3))
    s = {name: value[0] for name, value in apd_tensors().items()}
    P, H = s["linear1.A"] @ s["linear1.B"], s["hidden_layers.0.A"] @ s["hidden_layers.0.B"]
    first = x @ P.sum(0)
    written = [torch.einsum("bi,cio->bco", x, P), torch.einsum("bi,cio->bco", first, H)]
    written.append(torch.einsum("bo,cio->bci", first @ H.sum(0), P))
    by_length = sum(w.square().sum(-1) for w in written)
    assert torch.allclose(Attributions("activation").scores(made, x), by_length, rtol=1e-4)


def test_a_trained_bias_of_apd_is_the_explanations_own(tmp_path):
    run = apd_run(tmp_path / "run", {"topk": 2})
    state = apd_tensors()
    state["b_final"] = state["b_final"] + 1
    torch.save(state, run / "spd_model_60.pth")
    network = load(str(run))
    made = load_run(run, network)
    own = made.network.parameters()["linear2.bias"]
    assert torch.allclose(own, network.parameters()["linear2.bias"] + 1)


@pytest.mark.parametrize("key", ["resid_mlp_config", "resid_mlp_model_config", ""])
def test_residual_networks_of_spd(tmp_path, key):
    run = residual_run(tmp_path / "run", residual_state(), {**RESID, "act_fn_name": "gelu"}, key)
    x = torch.rand(9, 6, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(load(str(run))(x), residual_by_hand(x), atol=1e-5)


def test_residual_networks_of_apd_are_transposed_and_may_act_on_the_output(tmp_path):
    state = {}
    for name, value in residual_state().items():
        own = name.replace("mlp_in.bias", "bias1")
        state[own] = (value.T if name.endswith(".weight") else value)[None].contiguous()
    config = {**RESID, "act_fn_name": "gelu", "n_instances": 1, "apply_output_act_fn": True}
    run = residual_run(tmp_path / "run", state, config, "resid_mlp_config")
    parts = {
        f"layers.{i}.mlp_{end}.{half}": normal(1, 3, *shape, seed=20 + i)
        for i in range(2)
        for end, half, shape in (
            ("in", "A", (8, 2)),
            ("in", "B", (2, 4)),
            ("out", "A", (4, 2)),
            ("out", "B", (2, 8)),
        )
    }
    torch.save(
        {**parts, **{n: state[n] for n in ("W_E", "W_U", "layers.0.bias1", "layers.1.bias1")}},
        run / "m_1.pth",
    )
    x = torch.rand(9, 6, generator=torch.Generator().manual_seed(5))
    network = load(str(run))
    assert torch.allclose(network(x), gelu(residual_by_hand(x)), atol=1e-5)
    made = load_run(run, network)
    assert isinstance(made.importance, Always)
    L, R = made.factors["layers.1.mlp_out.weight"]
    A, B = parts["layers.1.mlp_out.A"][0], parts["layers.1.mlp_out.B"][0]
    assert torch.allclose(L.T @ R, torch.einsum("cim,cmo->oi", A, B), atol=1e-5)


def test_the_oracle_keeps_what_it_must_and_no_more(tmp_path):
    run = apd_run(tmp_path / "run", {"topk": 2})
    network, x = load(str(run)), inputs(10)
    truth = apd_by_hand(x, torch.ones(10, C), 0)
    tolerance = float(truth.max()) / 2
    made = build(f"components:{run},active=oracle,tolerance={tolerance}", subject(network, x))
    active = made.active({}, x)[:, 0]
    moved = (apd_by_hand(x, active.float(), 0) - truth).abs().amax(1)
    assert moved.max() <= tolerance + 1e-4
    assert 0 < int(active.sum()) < active.numel()
    assert (
        build(f"components:{run},active=oracle,tolerance=1e9", subject(network, x)).active({}, x).sum() == 0
    )
