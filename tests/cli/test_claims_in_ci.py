"""The example folder, the composite action, the pre-commit hook: what a stranger copies works, and fails."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from assay.models import load, save

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "claims-in-ci"
CLAIMS = "brake.claims.toml"


@pytest.fixture
def example(tmp_path):
    """A copy of the example folder, in the folder that commands run in."""
    for path in EXAMPLE.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    return tmp_path


def perturb(path: Path, size: float) -> None:
    """Move every trained weight by a random amount of about `size` of the largest."""
    network = load(str(path))
    generator = torch.Generator().manual_seed(0)
    module = network.module
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if not name.startswith("layers.0."):
                weight += size * weight.abs().max() * torch.randn(weight.shape, generator=generator)
    save(replace(network, module=module), path)


def test_the_shipped_model_keeps_its_promises_and_a_changed_one_breaks_them(run, example):
    kept = run("verify", CLAIMS, "--certificates", "certificates")
    assert kept.exit_code == 0, kept.output
    assert kept.stdout.count("PROVED: ") == 3
    certificates = sorted((example / "certificates").glob("*.json"))
    assert run("check", *certificates).exit_code == 0

    perturb(example / "brake.safetensors", 0.5)
    broken = run("verify", CLAIMS, "--sarif", "claims.sarif")
    assert broken.exit_code == 1
    assert "counterexample: distance = " in broken.stdout
    assert "assay/refuted" in (example / "claims.sarif").read_text()


def test_a_model_that_was_hardly_trained_breaks_a_claim(run, example):
    subprocess.run(
        [sys.executable, "train.py", "--steps", "20"], cwd=example, check=True, capture_output=True
    )
    assert run("verify", CLAIMS).exit_code == 1


def action_step(folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run what the action runs to verify, as GitHub would."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = next(step for step in action["runs"]["steps"] if step["name"] == "Verify")
    values = {name: about["default"] for name, about in action["inputs"].items()} | inputs
    assert set(inputs) <= set(action["inputs"])
    env = {
        key: values[text.removeprefix("${{ inputs.").removesuffix(" }}")] for key, text in step["env"].items()
    }
    shim = folder / "bin" / "assay"
    shim.parent.mkdir(exist_ok=True)
    command = f'{shlex.quote(sys.executable)} -c "from assay.cli.main import main; main()"'
    shim.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    shim.chmod(0o755)
    path = f"{shim.parent}{os.pathsep}{os.environ['PATH']}"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(folder), "PATH": path}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={**os.environ, **env, **github},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_passes_and_fails_with_the_claims(example):
    done = action_step(example, junit="claims.xml", claims="*.claims.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (example / "claims.xml").is_file()
    perturb(example / "brake.safetensors", 0.5)
    failed = action_step(example)
    assert failed.returncode == 1
    assert "::error file=brake.claims.toml,line=" in failed.stdout


def test_the_action_refuses_to_verify_nothing(example):
    done = action_step(example, claims="lost/*.claims.toml")
    assert done.returncode == 2
    assert "::error title=no claims::" in done.stdout


def test_the_actions_inputs_are_options_of_the_command(run):
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    shown = run("verify", "--help").stdout
    for key in action["runs"]["steps"][1]["env"]:
        if key.startswith("ASSAY_VERIFY_"):
            assert f"--{key.removeprefix('ASSAY_VERIFY_').lower().replace('_', '-')}" in shown
    used = yaml.safe_load((EXAMPLE / ".github" / "workflows" / "claims.yml").read_text())
    ours = next(s for s in used["jobs"]["claims"]["steps"] if "assay@" in s.get("uses", ""))
    assert set(ours["with"]) <= set(action["inputs"])


def test_the_hook_runs_the_command_on_claim_files(run, example):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "assay-verify"
    program, *words = hook["entry"].split()
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert run(*words, CLAIMS).exit_code == 0


def test_the_entry_point_leads_to_the_plug_in():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    target = project["entry-points"]["pytest11"]["assay"]
    plugin = importlib.metadata.EntryPoint("assay", target, "pytest11").load()
    assert callable(plugin.pytest_collect_file)
