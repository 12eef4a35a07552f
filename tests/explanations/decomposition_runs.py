"""Runs as the tools of APD and SPD leave them, by the names and shapes of their releases, from fixed numbers.

The layouts, and what is computed from them, were compared with checkpoints that the published code of APD and
of three releases of SPD wrote; here the same names and shapes are written by hand, and what they mean is
computed again by the definitions.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml
from assay.explanations import Components, Subject
from assay.mdl.parts import send_parts
from assay.models import Dataset, Network, Scope
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
