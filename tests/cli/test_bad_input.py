"""Bad input: exit code 2, one clear error on standard error, no traceback, no file left."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from assay.cli.main import assay
from click.testing import CliRunner
from safetensors.torch import save

MARK = Path("ran-code")


class Hostile:
    """A pickle that leaves a mark when it is read."""

    def __reduce__(self):
        return (MARK.touch, ())


def arrange() -> None:
    """Files that are wrong, each in its own way."""
    values = np.ones((8, 4), np.float32)
    values[3, 2] = np.nan
    np.save("nan.npy", values)
    np.save("flat.npy", np.ones(8, np.float32))
    np.save("wide.npy", np.ones((8, 4), np.float32))
    whole = save({"values": torch.ones(64, 16)})
    Path("cut.safetensors").write_bytes(whole[: len(whole) // 2])
    Path("net.safetensors").write_bytes(whole[:40])
    Path("code.pt").write_bytes(pickle.dumps(Hostile()))
    np.save("objects.npy", np.array([Hostile()], dtype=object), allow_pickle=True)
    Path("report.json").write_text('{"schema": "assay.report/1"}')
    Path("hostile.claims.toml").write_text(
        'model = "zoo:comparator"\n[[claim]]\nname = "x"\n'
        'for = { x1 = "integer 0..1", x2 = "integer 0..1" }\n'
        """show = "__import__('pathlib').Path('ran-code').touch() == 0"\n"""
    )
    Path("broken.claims.toml").write_text("model = \n")
    Path("wrong.toml").write_text("delt = 0.1\n")
    Path("broken.yaml").write_text("a: [1\n")


MECHANISM = ["--setting", "mechanism", "--delta", "0.1", "--limit", "8", "--out", "out.json"]
SITE = ["--delta", "0.1", "--out", "out.json", "--explain", "neurons"]
TMS = ["score", "zoo:tms-5-2"]

CASES = {
    "missing model": (
        ["score", "no.safetensors", "--data", "wide.npy", "--site", "x", *SITE],
        "no such file",
    ),
    "unknown zoo network": (["score", "zoo:tms", "--site", "x", *SITE], "no network 'tms'"),
    "missing activations": (["score", "--activations", "no.npy", *SITE], "no such file"),
    "unknown site": ([*TMS, "--site", "hook_hiden", *SITE], "hook_hidden"),
    "NaN": (["score", "--activations", "nan.npy", *SITE], "NaN"),
    "activations of one axis": (["score", "--activations", "flat.npy", *SITE], "shape (8,)"),
    "data of a wrong width": (
        [*TMS, "--data", "wide.npy", "--site", "hook_hidden", *SITE],
        "expected [n, 5]",
    ),
    "pickle with code": (["score", "code.pt", "--data", "wide.npy", "--site", "x", *SITE], "pickle"),
    "array of objects": (["score", "--activations", "objects.npy", *SITE], "objects.npy"),
    "truncated activations": (["score", "--activations", "cut.safetensors", *SITE], "cut.safetensors"),
    "truncated network": (
        ["score", "net.safetensors", "--data", "wide.npy", "--site", "x", *SITE],
        "net.safetensors",
    ),
    "unknown kind": ([*TMS, "--explain", "magic", *MECHANISM], "unknown kind 'magic'"),
    "unknown option of a kind": ([*TMS, "--explain", "circuit,kep=0.5", *MECHANISM], "unknown option kep"),
    "option that is no number": ([*TMS, "--explain", "circuit,keep=half", *MECHANISM], "not a number"),
    "second explanation wrong": (
        [*TMS, "--explain", "network", "--explain", "sae", *MECHANISM],
        "expected sae:PATH",
    ),
    "kind of the other setting": ([*TMS, "--explain", "pca", *MECHANISM], "--setting site"),
    "missing SAE": ([*TMS, "--site", "hook_hidden", "--explain", "sae:nowhere", *SITE[:4]], "nowhere"),
    "no grid": ([*TMS, "--setting", "mechanism", "--limit", "8", "--explain", "network"], "--delta"),
    "grid of no width": ([*TMS, "--explain", "network", *MECHANISM, "--delta", "0"], "delta"),
    "no model": (["score", *SITE], "expected MODEL"),
    "no site": ([*TMS, *SITE], "needs --site"),
    "activations and a model": ([*TMS, "--activations", "wide.npy", *SITE], "instead of MODEL"),
    "no explanation": (TMS, "--explain"),
    "unknown option": ([*TMS, "--deta", "1"], "--delta"),
    "batch of none": ([*TMS, "--batch-size", "0"], "whole number of at least 1"),
    "unknown device": ([*TMS, "--device", "abacus", "--explain", "network", *MECHANISM], "abacus"),
    "no folder to write to": (
        [*TMS, "--explain", "network", *MECHANISM[:-1], "no/out.json"],
        "there is no folder no",
    ),
    "config with an unknown key": ([*TMS, "--config", "wrong.toml"], "'delt'"),
    "config that is no YAML": ([*TMS, "--config", "broken.yaml"], "not YAML"),
    "missing config": ([*TMS, "--config", "no.toml"], "no.toml"),
    "stream that is none": (["decode", "wide.npy", "-o", "out.npy"], "wide.npy: not an assay stream"),
    "missing stream": (["decode", "no.assay"], "no.assay"),
    "stream from NaN": (
        ["encode", "--activations", "nan.npy", "--delta", "1", "--explain", "neurons", "-o", "out.assay"],
        "NaN",
    ),
    "stream of a mechanism": (
        [
            "encode",
            *TMS[1:],
            "--site",
            "hook_hidden",
            "--delta",
            "1",
            "--explain",
            "network",
            "-o",
            "a.assay",
        ],
        "--setting mechanism",
    ),
    "stream without a grid": (
        ["encode", "--activations", "wide.npy", "--explain", "neurons", "-o", "out.assay"],
        "--delta",
    ),
    "frontier at no distortion": (
        ["frontier", "--activations", "wide.npy", "--explain", "neurons", "--at", "0", "--html", "out.html"],
        "--at",
    ),
    "frontier with an unknown knob": (
        ["frontier", "--activations", "wide.npy", "--explain", "pca,k=1:x", "--html", "out.html"],
        "not a whole number",
    ),
    "held out of one datum": (
        ["score", "--activations", "wide.npy", "--limit", "1", "--held-out", *SITE],
        "two data or more",
    ),
    "missing report": (["compare", "no.json"], "no.json"),
    "report without its fields": (["compare", "report.json", "--html", "page.html"], "scope: Field required"),
    "missing claims": (["verify", "no.claims.toml"], "no.claims.toml"),
    "claims that are no TOML": (["verify", "broken.claims.toml"], "broken.claims.toml:1"),
    "claim with code": (
        ["verify", "hostile.claims.toml", "--certificates", "certs"],
        "hostile.claims.toml:5",
    ),
    "time that is none": (["verify", "hostile.claims.toml", "--budget", "soon"], "expected for instance 60s"),
    "missing certificate": (["check", "no.json"], "no.json: there is no such file"),
    "unknown network to train": (["zoo", "train", "tms-5-3", "--out", "made"], "tms-5-2"),
    "unknown network to export": (["zoo", "export", "tms-5-3", "--out", "made"], "tms-5-2"),
}


@pytest.mark.parametrize(("arguments", "told"), CASES.values(), ids=CASES)
def test_bad_input_is_one_clear_error(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    arrange()
    before = set(tmp_path.rglob("*"))
    done = CliRunner().invoke(assay, arguments)
    assert done.exit_code == 2, done.output
    assert told in done.stderr
    assert done.stderr.count("Error: ") == 1
    assert "Traceback" not in done.output
    assert done.stdout == ""
    assert set(tmp_path.rglob("*")) == before


def test_debug_shows_the_traceback(run):
    done = run("compare", "no.json", "--debug")
    assert done.exit_code == 2
    assert "Traceback" in done.stderr
    assert "Error: no.json" in done.stderr


def test_a_fault_of_ours_says_sorry_and_where_the_details_are(run, monkeypatch):
    import assay.mdl.report

    def broken(path: object) -> None:
        raise ValueError(f"unforeseen with {path}")

    monkeypatch.setattr(assay.mdl.report, "load_report", broken)
    done = run("compare", "any.json")
    assert done.exit_code == 4
    assert done.stderr.startswith("Error: sorry")
    details = Path(done.stderr.split("Details: ")[1].strip())
    assert "unforeseen with any.json" in details.read_text()
    details.unlink()
