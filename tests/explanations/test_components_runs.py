"""Runs of APD and SPD in every layout: the network, its components, who is needed, and what is refused.

The layouts, and what is computed from them, were compared with checkpoints that the published code of APD and
of three releases of SPD wrote; here the same names and shapes are written by hand, and what they mean is
computed again by the definitions.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from assay.cli.main import assay
from assay.explanations import Components, ExplanationError, Subject, build, load_run
from assay.explanations.components import Always, Attributions, Gates, Oracle
from assay.mdl.parts import send_parts
from assay.models import Dataset, InputError, Network, Scope, UnreadableFile, load
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import gelu, linear

FINE = 28
C, FEATURES, HIDDEN = 7, 5, 2
TMS = {"n_features": FEATURES, "n_hidden": HIDDEN, "n_hidden_layers": 1, "tied_weights": True}
PATHS = {"linear1": (FEATURES, HIDDEN), "hidden_layers.0": (HIDDEN, HIDDEN), "linear2": (HIDDEN, FEATURES)}


def normal(*shape: int, seed: int) -> Tensor:
    return 0.6 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tms_target() -> dict[str, Tensor]:
    W, H = normal(HIDDEN, FEATURES, seed=0), normal(HIDDEN, HIDDEN, seed=1)
    b = normal(FEATURES, seed=2)
    return {"linear1.weight": W, "hidden_layers.0.weight": H, "linear2.weight": W.T, "linear2.bias": b}


def pairs() -> dict[str, tuple[Tensor, Tensor]]:
    """V [d_in, C] and U [C, d_out] by path; not faithful, so that it shows which weights are run."""
    return {
        path: (normal(d_in, C, seed=10 + i), normal(C, d_out, seed=20 + i))
        for i, (path, (d_in, d_out)) in enumerate(PATHS.items())
    }


def mlp_gates(hidden: int = 16) -> dict[str, dict[str, Tensor]]:
    """As today's checkpoints name them: W [C, in, out], b [C, out]."""
    return {
        path: {
            "layers.0.W": normal(C, 1, hidden, seed=30 + i),
            "layers.0.b": normal(C, hidden, seed=40 + i),
            "layers.2.W": normal(C, hidden, 1, seed=50 + i),
            "layers.2.b": normal(C, 1, seed=60 + i),
        }
        for i, path in enumerate(PATHS)
    }


def newer() -> dict[str, Tensor]:
    state = {f"target_model.{name}": value for name, value in tms_target().items()}
    for path, (V, U) in pairs().items():
        state |= {f"_components.{path.replace('.', '-')}.V": V, f"_components.{path.replace('.', '-')}.U": U}
    state["_components.linear2.bias"] = tms_target()["linear2.bias"]
    for path, gate in mlp_gates().items():
        state |= {f"_ci_fns.{path.replace('.', '-')}.{end}": value for end, value in gate.items()}
    return state


def older() -> dict[str, Tensor]:
    state = {}
    for name, value in tms_target().items():
        path, _, end = name.rpartition(".")
        state[f"patched_model.{path}.original.{end}"] = value
    for path, (V, U) in pairs().items():
        state |= {f"patched_model.{path}.components.V": V, f"patched_model.{path}.components.U": U}
    for path, gate in mlp_gates().items():
        state |= {f"_gates.{path.replace('.', '-')}.{end}": value for end, value in gate.items()}
    return state


def version_1() -> dict[str, Tensor]:
    state = {f"model.{name}": value for name, value in tms_target().items()}
    for path, (V, U) in pairs().items():
        state |= {f"components.{path.replace('.', '-')}.A": V, f"components.{path.replace('.', '-')}.B": U}
    state["components.linear2.bias"] = tms_target()["linear2.bias"]
    for path, gate in mlp_gates().items():
        start = f"gates.{path.replace('.', '-')}"
        state |= {
            f"{start}.mlp_in": gate["layers.0.W"][:, 0],
            f"{start}.in_bias": gate["layers.0.b"],
            f"{start}.mlp_out": gate["layers.2.W"][..., 0],
            f"{start}.out_bias": gate["layers.2.b"][:, 0],
        }
    return state


LAYOUTS = {"SPD": newer, "SPD, older": older, "SPD, v1": version_1}


def spd_run(folder: Path, state: dict[str, Tensor], config: dict[str, object] | None = None) -> Path:
    """A folder as SPD leaves it, with an earlier checkpoint of noughts."""
    folder.mkdir()
    torch.save(state, folder / "model_2000.pth")
    torch.save({name: 0 * value for name, value in state.items()}, folder / "model_900.pth")
    torch.save(tms_target(), folder / "tms.pth")
    (folder / "tms_train_config.yaml").write_text(yaml.dump({"tms_model_config": TMS, "seed": 0}))
    (folder / "final_config.yaml").write_text(yaml.dump({"C": C, **(config or {})}))
    return folder


def subject(network: Network, x: Tensor) -> Subject:
    return Subject("mechanism", network, Dataset("x", x, None, "sample", Scope("", "")))


def inputs(n: int = 40) -> Tensor:
    return torch.rand(n, FEATURES, generator=torch.Generator().manual_seed(5))


def read_by_weights(x: Tensor) -> dict[str, Tensor]:
    """What each weight of the target reads."""
    t = tms_target()
    first = x @ t["linear1.weight"].T
    return {"linear1": x, "hidden_layers.0": first, "linear2": first @ t["hidden_layers.0.weight"].T}


def importance_by_hand(path: str, read: Tensor) -> Tensor:
    gate = mlp_gates()[path]
    inner = read @ pairs()[path][0]
    columns = []
    for c in range(C):
        hidden = gelu(inner[:, c : c + 1] * gate["layers.0.W"][c, 0] + gate["layers.0.b"][c])
        columns.append(hidden @ gate["layers.2.W"][c, :, 0] + gate["layers.2.b"][c])
    return torch.stack(columns, 1).clamp(0, 1)


def masked_by_hand(x: Tensor, masks: dict[str, Tensor]) -> Tensor:
    h = x
    for path in PATHS:
        V, U = pairs()[path]
        h = (h @ V * masks[path]) @ U
    return torch.relu(h + tms_target()["linear2.bias"])


def received(made: Components, x: Tensor, active: Tensor) -> Tensor:
    return made.predict(send_parts(made.parts(), FINE).restored, x, active)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_spd_is_what_its_definition_says_in_every_layout(layout, tmp_path):
    run, x = spd_run(tmp_path / "run", LAYOUTS[layout]()), inputs()
    network = load(str(run))
    t = tms_target()
    hidden = x @ t["linear1.weight"].T @ t["hidden_layers.0.weight"].T
    assert torch.allclose(network(x), torch.relu(linear(hidden, t["linear2.weight"], t["linear2.bias"])))
    made = build(f"components:{run}", subject(network, x))
    assert made.recipe() | {"C": 3 * C, "from": layout, "checkpoint": "model_2000.pth"} == made.recipe()
    active = made.active({}, x)
    masks = {path: importance_by_hand(path, read) > 0.1 for path, read in read_by_weights(x).items()}
    assert torch.equal(active[:, 0], torch.cat([masks[w.removesuffix(".weight")] for w in made.factors], 1))
    assert 0.1 < float(active.float().mean()) < 0.9
    assert torch.allclose(received(made, x, active), masked_by_hand(x, masks), atol=1e-5)


def test_a_tied_weight_is_one_parameter_and_travels_once(tmp_path):
    network = load(str(spd_run(tmp_path / "run", newer())))
    assert sorted(network.parameters()) == ["hidden_layers.0.weight", "linear1.weight", "linear2.bias"]
    assert network.to(dtype=torch.float64)(inputs()).dtype == torch.float64
    other = network.with_weights({"linear1.weight": torch.zeros(HIDDEN, FEATURES)})
    assert torch.equal(other(inputs()), torch.relu(tms_target()["linear2.bias"]).expand(40, -1))


def test_the_last_step_is_read_unless_another_is_named(tmp_path):
    run = spd_run(tmp_path / "run", older())
    network = load(str(run))
    with pytest.raises(ExplanationError, match="decomposed another network"):
        load_run(run, network, step=900)
    assert load_run(run / "model_2000.pth", network).about["checkpoint"] == "model_2000.pth"
    with pytest.raises(UnreadableFile, match="no checkpoint of step 7; there are steps 900, 2000"):
        load_run(run, network, step=7)
    with pytest.raises(UnreadableFile, match="step=900 chooses among the checkpoints of a folder"):
        load_run(run / "model_2000.pth", network, step=900)


def test_safetensors_under_the_name_of_a_torch_file_are_read(tmp_path):
    run = spd_run(tmp_path / "run", newer())
    state = {name: value.contiguous() for name, value in newer().items()}
    save_file(state, run / "model_3000.pth")
    made = load_run(run, load(str(run)))
    assert made.about["checkpoint"] == "model_3000.pth"
    V, U = pairs()["hidden_layers.0"]
    L, R = made.factors["hidden_layers.0.weight"]
    assert torch.equal(L, U)
    assert torch.equal(R, V.T)


def test_the_network_is_in_the_checkpoint_where_its_own_file_is_missing(tmp_path):
    run = spd_run(tmp_path / "run", version_1())
    whole = load(str(run))
    (run / "tms.pth").unlink()
    (run / "tms_train_config.yaml").unlink()
    assert load(str(run)).digest == whole.digest


@pytest.mark.parametrize(("kind", "reads"), [("vector", FEATURES), ("shared", FEATURES), ("linear", 1)])
def test_every_kind_of_gate(tmp_path, kind, reads):
    V, U = pairs()["linear1"]
    g = {
        "vector": {
            "layers.0.W": (C, reads, 4),
            "layers.0.b": (C, 4),
            "layers.2.W": (C, 4, 1),
            "layers.2.b": (C, 1),
        },
        "shared": {"layers.0.W": (reads, 4), "layers.0.b": (4,), "layers.2.W": (4, C), "layers.2.b": (C,)},
        "linear": {"weight": (C,), "bias": (C,)},
    }[kind]
    gate = {name: normal(*shape, seed=70 + i) for i, (name, shape) in enumerate(g.items())}
    state = {f"target_model.{name}": value for name, value in tms_target().items()}
    state |= {"_components.linear1.V": V, "_components.linear1.U": U}
    state |= {f"_ci_fns.linear1.{name}": value for name, value in gate.items()}
    config = {"sigmoid_type": "normal", "ci_alive_threshold": 0.5}
    run, x = spd_run(tmp_path / "run", state, config), inputs()
    if kind == "linear":
        raw = x @ V * gate["weight"] + gate["bias"]
    elif kind == "shared":
        raw = gelu(x @ gate["layers.0.W"] + gate["layers.0.b"]) @ gate["layers.2.W"] + gate["layers.2.b"]
    else:
        hidden = [gelu(x @ gate["layers.0.W"][c] + gate["layers.0.b"][c]) for c in range(C)]
        raw = torch.cat([h @ gate["layers.2.W"][c] + gate["layers.2.b"][c] for c, h in enumerate(hidden)], 1)
    made = load_run(run, load(str(run)))
    assert isinstance(made.importance, Gates)
    assert torch.equal(made.active({}, x)[:, 0], torch.sigmoid(raw) > 0.5)


def apd_tensors(instances: int = 3, m: int = 3, hidden_layers: int = 1) -> dict[str, Tensor]:
    state = {
        "b_final": normal(instances, FEATURES, seed=80),
        "linear1.A": normal(instances, C, FEATURES, m, seed=81),
        "linear1.B": normal(instances, C, m, HIDDEN, seed=82),
    }
    for i in range(hidden_layers):
        state[f"hidden_layers.{i}.A"] = normal(instances, C, HIDDEN, m, seed=83)
        state[f"hidden_layers.{i}.B"] = normal(instances, C, m, HIDDEN, seed=84)
    return state


def apd_run(folder: Path, config: dict[str, object], hidden_layers: int = 1) -> Path:
    """A folder as APD leaves it, faithful."""
    folder.mkdir()
    state = apd_tensors(hidden_layers=hidden_layers)
    target = {"b_final": state["b_final"]}
    for name in state:
        if name.endswith(".A"):
            path = name.removesuffix(".A")
            target[f"{path}.weight"] = (state[name] @ state[f"{path}.B"]).sum(1)
    torch.save(state, folder / "spd_model_50.pth")
    torch.save({name: 0 * value for name, value in state.items()}, folder / "spd_model_9.pth")
    torch.save(target, folder / "tms.pth")
    sizes = {"n_instances": 3, "n_features": FEATURES, "n_hidden": HIDDEN, "n_hidden_layers": hidden_layers}
    (folder / "tms_train_config.yaml").write_text(yaml.dump({"tms_model_config": {**sizes, "device": "cpu"}}))
    (folder / "final_config.yaml").write_text(yaml.dump(config))
    return folder


def apd_by_hand(x: Tensor, masks: Tensor, instance: int) -> Tensor:
    """One instance of the toy model with each part's matrices A_c B_c switched by masks [data, C]."""
    s = {name: value[instance] for name, value in apd_tensors().items()}
    P, H = s["linear1.A"] @ s["linear1.B"], s["hidden_layers.0.A"] @ s["hidden_layers.0.B"]
    h = torch.einsum("bi,bc,cio->bo", x, masks, P)
    h = torch.einsum("bi,bc,cio->bo", h, masks, H)
    return torch.relu(torch.einsum("bo,bc,cio->bi", h, masks, P) + s["b_final"])


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


RESID = {"n_features": 6, "d_embed": 8, "d_mlp": 4, "n_layers": 2, "in_bias": True, "out_bias": False}


def residual_state() -> dict[str, Tensor]:
    state = {"W_E": normal(6, 8, seed=1), "W_U": normal(8, 6, seed=2)}
    for i in range(2):
        state |= {
            f"layers.{i}.mlp_in.weight": normal(4, 8, seed=3 + i),
            f"layers.{i}.mlp_in.bias": normal(4, seed=5 + i),
            f"layers.{i}.mlp_out.weight": normal(8, 4, seed=7 + i),
        }
    return state


def residual_by_hand(x: Tensor) -> Tensor:
    s, r = residual_state(), x @ residual_state()["W_E"]
    for i in range(2):
        inner = gelu(linear(r, s[f"layers.{i}.mlp_in.weight"], s[f"layers.{i}.mlp_in.bias"]))
        r = r + linear(inner, s[f"layers.{i}.mlp_out.weight"])
    return r @ s["W_U"]


def residual_run(folder: Path, state: dict[str, Tensor], config: dict[str, object], key: str) -> Path:
    folder.mkdir()
    torch.save(state, folder / "resid_mlp.pth")
    (folder / "resid_mlp_train_config.yaml").write_text(yaml.dump({key: config} if key else config))
    (folder / "label_coeffs.json").write_text(json.dumps([1.0] * 6))
    (folder / "final_config.yaml").write_text("C: 3\n")
    return folder


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


def test_rules_are_chosen_by_name(tmp_path):
    run, x = spd_run(tmp_path / "run", newer()), inputs()
    about = subject(load(str(run)), x)
    kinds = {"gates": Gates, "always": Always, "oracle": Oracle, "attributions,topk=3": Attributions}
    for rule, kind in kinds.items():
        assert type(build(f"components:{run},active={rule}", about).importance) is kind
    few = build(f"components:{run},threshold=0.9", about).active({}, x).sum()
    assert 0 < few < build(f"components:{run}", about).active({}, x).sum()
    with pytest.raises(
        ExplanationError, match="active='now' is not one of gates, attributions, reads, oracle"
    ):
        build(f"components:{run},active=now", about)
    with pytest.raises(ExplanationError, match=r"topk \(components per datum\) is None"):
        build(f"components:{run},active=attributions", about)
    gateless = {name: value for name, value in newer().items() if not name.startswith("_ci_fns")}
    torch.save(gateless, run / "model_5000.pth")
    with pytest.raises(ExplanationError, match="come without gates"):
        build(f"components:{run},active=gates", about)


BROKEN = {
    "V is missing": ("linear1: V is missing", lambda s: s.pop("_components.linear1.V")),
    "gates missing": (
        "the gates of linear2 are missing",
        lambda s: [s.pop(n) for n in list(s) if n.startswith("_ci_fns.linear2")],
    ),
    "surplus": ("optimizer.state is surplus", lambda s: s.update({"optimizer.state": torch.ones(1)})),
    "shape": (
        r"hidden_layers\.0: \(2, 7\) and \(6, 2\), expected \[d_in, C\] and \[C, d_out\]",
        lambda s: s.update({"_components.hidden_layers-0.U": torch.ones(6, 2)}),
    ),
    "weight": (
        r"components of linear1\.weight: \(3, 5\), the weight is \(2, 5\)",
        lambda s: s.update({"_components.linear1.U": torch.ones(C, 3)}),
    ),
    "gate shape": (
        "gates of linear1 answer for 6 components, expected 7",
        lambda s: s.update({"_ci_fns.linear1.layers.2.W": torch.ones(6, 16, 1)}),
    ),
    "gate names": ("gates hold", lambda s: s.update({"_ci_fns.linear1.layers.4.W": torch.ones(1)})),
    "another network": (
        "decomposed another network: linear1.weight differs",
        lambda s: s.update({"target_model.linear1.weight": torch.ones(HIDDEN, FEATURES)}),
    ),
    "another bias": (
        r"linear2\.bias of the run is \(4,\)",
        lambda s: s.update({"_components.linear2.bias": torch.ones(4)}),
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_does_not_fit_is_named(tmp_path, fault):
    message, change = BROKEN[fault]
    state = newer()
    change(state)
    run = spd_run(tmp_path / "run", state)
    with pytest.raises(ExplanationError, match=message):
        load_run(run, load(str(run)))


def test_apd_that_does_not_fit_is_named(tmp_path):
    run = apd_run(tmp_path / "run", {"topk": 2})
    network = load(str(run))
    for name, value, message in (
        ("linear1.B", torch.ones(3, C, 4, HIDDEN), r"linear1: A \(3, 7, 5, 3\) and B \(3, 7, 4, 2\)"),
        ("hidden_layers.0.A", torch.ones(3, 4, HIDDEN, 3), "hidden_layers.0: A"),
        ("extra", torch.ones(1), "extra is surplus"),
    ):
        torch.save({**apd_tensors(), name: value}, run / "spd_model_70.pth")
        with pytest.raises(ExplanationError, match=message):
            load_run(run, network)
    torch.save(apd_tensors(), run / "spd_model_70.pth")
    with pytest.raises(InputError, match=r"instance=3, but the run holds instances 0\.\.2"):
        load_run(run, network, instance=3)
    with pytest.raises(InputError, match=r"instance=5, but the run holds instances 0\.\.2"):
        load(f"{run}@5")


def test_networks_that_do_not_fit_are_named(tmp_path):
    run = spd_run(tmp_path / "run", newer())
    torch.save({**tms_target(), "linear2.weight": torch.ones(FEATURES, HIDDEN)}, run / "tms.pth")
    with pytest.raises(UnreadableFile, match="tied_weights is true"):
        load(str(run))
    torch.save({**tms_target(), "linear3.weight": torch.ones(1)}, run / "tms.pth")
    with pytest.raises(UnreadableFile, match=r"linear3.weight \(1,\) for nothing"):
        load(str(run))
    without = tms_target()
    del without["linear2.bias"]
    torch.save(without, run / "tms.pth")
    with pytest.raises(UnreadableFile, match=r"linear2.bias missing for \(5,\)"):
        load(str(run))
    config = {name: value for name, value in RESID.items() if name != "act_fn_name"}
    bare = residual_run(tmp_path / "bare", residual_state(), config, "resid_mlp_config")
    with pytest.raises(UnreadableFile, match="act_fn_name is missing"):
        load(str(bare))


class Rude:
    def __reduce__(self):
        return (Path.touch, (Path("touched"),))


def test_files_that_would_run_code_are_refused_and_run_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = spd_run(tmp_path / "run", newer())
    network = load(str(run))
    torch.save({"linear1.A": Rude()}, run / "model_9999.pth")
    with pytest.raises(UnreadableFile, match=r"model_9999\.pth: not a whole torch file of tensors alone"):
        load_run(run, network)
    (run / "final_config.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    (run / "model_9999.pth").unlink()
    with pytest.raises(UnreadableFile, match=r"final_config\.yaml"):
        load_run(run, network)
    assert not (tmp_path / "touched").exists()


def test_other_files_and_folders_are_refused(tmp_path):
    network = load("zoo:tms-5-2")
    with pytest.raises(UnreadableFile, match="no such file or folder"):
        build(f"components:{tmp_path}/none.pth", subject(network, inputs()))
    with pytest.raises(UnreadableFile, match=r"no checkpoint, expected a file such as model_10000\.pth"):
        build(f"components:{tmp_path}", subject(network, inputs()))
    torch.save({"x": torch.ones(1)}, tmp_path / "x.pth")
    with pytest.raises(ExplanationError, match=r"no components of a known layout.*it holds x"):
        build(f"components:{tmp_path}/x.pth", subject(network, inputs()))
    torch.save([1], tmp_path / "x.pth")
    with pytest.raises(UnreadableFile, match=r"x\.pth"):
        build(f"components:{tmp_path}/x.pth", subject(network, inputs()))
    with pytest.raises(ExplanationError, match="unknown option step"):
        build("components:tms-5-2-spd,step=3", subject(network, inputs()))


def test_the_command_line_scores_a_run_by_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spd_run(tmp_path / "run", newer())
    np.save("x.npy", inputs(16).numpy())
    words = [
        "score",
        "run",
        "--data",
        "x.npy",
        "--setting",
        "mechanism",
        "--delta",
        "0.1",
        "--part-bits",
        "8",
        "--json",
    ]
    done = CliRunner().invoke(assay, [*words, "--explain", "components:run", "--explain", "network"])
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)[0]
    assert made["explanation"]["recipe"]["from"] == "SPD"
    assert made["explanation"]["recipe"]["checkpoint"] == "model_2000.pth"
    failed = CliRunner().invoke(assay, [*words, "--explain", "components:run,step=1"])
    assert failed.exit_code == 2
    assert "there are steps 900, 2000" in failed.output
