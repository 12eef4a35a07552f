"""Runs that do not fit are refused, with all that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from assay.explanations import ExplanationError, build, load_run
from assay.models import InputError, UnreadableFile, load

from .decomposition_runs import (
    FEATURES,
    HIDDEN,
    RESID,
    C,
    apd_run,
    apd_tensors,
    inputs,
    newer,
    residual_run,
    residual_state,
    spd_run,
    subject,
    tms_target,
)

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
