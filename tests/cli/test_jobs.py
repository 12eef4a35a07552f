"""``assay verify --jobs``: claims side by side say what they say one by one, and leave nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from assay.cli.display import Display
from assay.models import Network, save
from assay.proofs import InputError, claim, verify
from torch import nn

PROGRAM = "from assay.proofs import crews; crews.cores = lambda: 2; from assay.cli.main import main; main()"
"""A program by itself, since pytest's process has used gradients and does not fork; two cores anywhere."""

SHOWN = {
    "bounded": ('"x[0..1]" = "real -1..1"', "abs(f(x)[0]) <= 2"),
    "never above": ('"x[0..1]" = "real -1..1"', "f(x)[0] <= 0"),
    "rising": ('"x[0..1]" = "real -1..1", y = "real -1..1"', "x[0] <= y => f(x)[0] <= f(y, x[1])[0]"),
    "grid": ('"x[0..1]" = "integer -9..9"', "f(x)[0] >= 0"),
    "low": ('"x[0..1]" = "real 0..1"', "f(x)[0] <= 5/4"),
    "no form": ('"x[0..1]" = "real 0..1"', "s(x)[0] <= 1"),
    "over the budget": ('"x[0..4]" = "real -1..1"', "w(x)[0] <= TOP"),
    "same as low": ('"x[0..1]" = "real 0..1"', "f(x)[0] <= 5/4"),
    "Same as: low": ('"x[0..1]" = "real 0..1"', "f(x)[0] <= 5/4"),
    "at least": ('"x[0..1]" = "real 1/2..1"', "f(x)[0] >= 1/2"),
}
MODELS = """
import torch
from assay.models import Network
from torch import nn

class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)

def sine():
    return Network("sine", Sine(), "regression", "real", (2,))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A claim file of ten claims in two, with what they are about."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("jobs")
    small = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        small[0].weight.copy_(torch.eye(2))
        small[0].bias.copy_(torch.tensor([0.0, -0.5]))
        small[2].weight.copy_(torch.tensor([[1.0, 0.5]]))
        small[2].bias.fill_(0.0)
    sizes = (5, 60, 60, 60)
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    wide = nn.Sequential(*hidden, nn.Linear(60, 1))
    with torch.no_grad():
        top = float(wide(torch.rand(10_000, 5) * 2 - 1).max()) + 0.02
    save(Network("small", small, "regression", "real", (2,)), folder / "small.safetensors")
    save(Network("wide", wide, "regression", "real", (5,)), folder / "wide.safetensors")
    (folder / "sines.py").write_text(MODELS)
    head = 'model = "small.safetensors"\n[models]\nw = "wide.safetensors"\ns = "python:sines:sine"\n'
    tables = [
        f'[[claim]]\nname = "{name}"\nfor = {{ {ranges} }}\nshow = "{show.replace("TOP", f"{top:.6f}")}"\n'
        for name, (ranges, show) in SHOWN.items()
    ]
    (folder / "a.claims.toml").write_text(head + "".join(tables[:8]))
    (folder / "b.claims.toml").write_text(head + "".join(tables[8:]))
    return folder


def ran(folder: Path, *words: str) -> subprocess.Popen[str]:
    """The command, begun in a folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "verify", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_interrupts,
    )


def hears_interrupts() -> None:
    """As in a terminal: what a shell runs in the background, such as these tests, has them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def told(folder: Path, jobs: str) -> tuple[int, list[dict], list[str], str]:
    """The exit code, verdicts, test cases of JUnit, and SARIF, without what time does to them."""
    files = {name: f"{name}-{jobs}" for name in ("certificates", "junit", "sarif")}
    options = [word for name, file in files.items() for word in (f"--{name}", file)]
    process = ran(
        folder, "a.claims.toml", "b.claims.toml", "--json", "--budget", "3s", "--jobs", jobs, *options
    )
    out, err = process.communicate(timeout=100)
    assert not err, err
    verdicts = json.loads(out)
    for verdict in verdicts:
        del verdict["seconds"], verdict["log"]
        if verdict["name"] == "over the budget":  # how far it comes in a time is not the same twice
            verdict["verdict"] = {key: verdict["verdict"][key] for key in ("cause", "stage")}
    text = json.dumps(verdicts).replace(files["certificates"], "certificates")
    cases = [f"{case.get('classname')} {case.get('name')} {[child.tag for child in case]}"
             for case in ET.parse(folder / files["junit"]).iter("testcase")]  # fmt: skip
    sarif = json.loads((folder / files["sarif"]).read_text())["runs"][0]["results"]
    places = [(r["ruleId"], r["locations"], r["partialFingerprints"]) for r in sarif]
    return process.returncode, json.loads(text), cases, json.dumps(places)


@pytest.mark.slow
def test_verdicts_certificates_and_files_are_those_of_one_by_one(folder):
    alone, together = told(folder, "1"), told(folder, "2")
    assert [claim["name"] for claim in alone[1]] == list(SHOWN)
    statuses = {claim["name"]: claim["status"] for claim in alone[1]}
    assert statuses.pop("never above") == "refuted"
    assert statuses.pop("no form") == statuses.pop("over the budget") == "unknown"
    assert set(statuses.values()) == {"proved"}
    recalled = [claim["name"] for claim in alone[1] if claim["rechecked"]]
    assert recalled == ["Same as: low"]
    assert alone == together
    assert alone[0] == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux alone")
def test_an_interrupt_ends_all_workers(folder):
    process = ran(folder, "b.claims.toml", "a.claims.toml", "--budget", "60s", "--jobs", "2")
    children: set[int] = set()
    end = time.monotonic() + 60
    while len(children) < 2 and time.monotonic() < end:
        children |= descendants(process.pid)
        time.sleep(0.05)
    assert len(children) >= 2
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    end = time.monotonic() + 5
    while any(map(alive, children)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, children))


def descendants(pid: int) -> set[int]:
    """The children of a process."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(word) for word in text.split()}


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "two"])
def test_a_number_of_jobs_that_is_none_is_told(jobs):
    with pytest.raises(InputError, match=re.escape(f"jobs: got {jobs!r}, expected")):
        verify([claim("x >= 0", {"x": "bit"})], jobs=jobs)


def test_a_wrong_option_is_told_and_the_environment_is_read(run, folder, monkeypatch):
    done = run("verify", folder / "b.claims.toml", "--jobs", "0")
    assert done.exit_code == 2
    assert "'0' is neither auto nor a whole number of at least 1" in done.stderr
    monkeypatch.setenv("ASSAY_JOBS", "none")
    assert "'none' is neither auto" in run("verify", folder / "b.claims.toml").stderr


def test_each_claim_that_is_judged_has_its_line(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    seen: list[str] = []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("rich.status.Status.update", lambda self, text: seen.append(text))
    with Display("rich").working() as report:
        report("a", "lowering")
        report("b", "[falsify]")
        report("a", "")
        report("c", "z3")
        report("b", "")
        report("c", "")
    assert seen == [
        "a: lowering",
        "a: lowering\n  b: \\[falsify]",
        "b: \\[falsify]",
        "b: \\[falsify]\n  c: z3",
        "c: z3",
        "",
    ]
