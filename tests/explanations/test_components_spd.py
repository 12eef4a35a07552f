"""SPD runs in every layout are what their definition says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from assay.cli.main import assay
from assay.explanations import ExplanationError, build, load_run, save_components
from assay.explanations.components import Always, Attributions, Gates, Oracle
from assay.models import Network, UnreadableFile, load
from click.testing import CliRunner
from safetensors.torch import save_file
from torch.nn.functional import gelu, linear

from .decomposition_runs import (
    FEATURES,
    HIDDEN,
    LAYOUTS,
    C,
    apd_run,
    importance_by_hand,
    inputs,
    masked_by_hand,
    newer,
    normal,
    older,
    pairs,
    read_by_weights,
    received,
    spd_run,
    subject,
    tms_target,
    version_1,
)


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


def test_tables_and_tokens_have_components_too(tmp_path):
    module = torch.nn.Sequential(torch.nn.Embedding(6, 4), torch.nn.Linear(4, 6))
    network = Network("tokens", module, "categorical", "token", (3,), vocabulary=6)
    V, U = normal(6, C, seed=1), normal(C, 4, seed=2)
    gate = {"mlp_in": (C, 5), "in_bias": (C, 5), "mlp_out": (C, 5), "out_bias": (C,)}
    state = {f"gates.0.{n}": normal(*shape, seed=3 + i) for i, (n, shape) in enumerate(gate.items())}
    state |= {f"model.{n}": v for n, v in module.state_dict().items()}
    torch.save({**state, "components.0.A": V, "components.0.B": U}, tmp_path / "model_1.pth")
    made = load_run(tmp_path / "model_1.pth", network)
    x = torch.randint(6, (5, 3), generator=torch.Generator().manual_seed(0))
    active = made.active({}, x)
    hidden = gelu(V[x][..., None] * state["gates.0.mlp_in"] + state["gates.0.in_bias"])
    raw = (hidden * state["gates.0.mlp_out"]).sum(-1) + state["gates.0.out_bias"]
    assert torch.equal(active, raw.clamp(0, 1) > 0.1)
    assert torch.allclose(received(made, x, active), module[1]((V[x] * active) @ U), atol=1e-5)


def test_components_there_and_back_with_their_owners(tmp_path):
    run = apd_run(tmp_path / "run", {"topk": 2})
    network, x = load(str(run)), inputs()
    made = build(f"components:{run}", subject(network, x))
    save_components(made, tmp_path / "c.safetensors")
    back = build(f"components:{tmp_path}/c.safetensors", subject(network, x))
    assert back.recipe() == made.recipe()
    assert torch.equal(back.active({}, x), made.active({}, x))
    some = made.active({}, x)
    assert torch.allclose(received(back, x, some), received(made, x, some))


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
