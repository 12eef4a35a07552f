"""Help is complete, and it is fast: no command pulls torch before it needs it."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from assay.cli.main import COMMANDS, assay
from assay.explanations.registry import KINDS

HELP = "from assay.cli.main import main; main({})"
HEAVY = ("torch", "numpy", "pandas", "sympy", "z3", "scipy", "sklearn", "plotly")


def leaves() -> list[list[str]]:
    """Every command and subcommand."""
    found: list[list[str]] = []
    for name in COMMANDS:
        command = assay.get_command(click.Context(assay), name)
        assert command is not None
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, sub] for sub in command.commands]
    return found


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_command_and_option_has_help(run, words):
    shown = run(*words, "--help")
    assert shown.exit_code == 0
    command: click.Command = assay
    for word in words:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command.help
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


def test_help_of_all_commands_imports_nothing_heavy():
    code = (
        "import sys; from assay.cli.main import COMMANDS, assay; import click\n"
        "for c in COMMANDS: assay.get_command(click.Context(assay), c)\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_at_once():
    def once() -> float:
        """CPU seconds: what the machine does besides is not ours."""
        before = os.times()
        subprocess.run([sys.executable, "-c", HELP.format(["--help"])], check=True, capture_output=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(once() for _ in range(7)) < 0.4


def test_the_help_of_score_names_every_kind(run):
    shown = " ".join(run("score", "--help").output.split())
    assert all(f"{kind}," in shown for kind in KINDS)


def test_a_misspelt_command_is_told_its_neighbour(run):
    failed = run("scor")
    assert failed.exit_code == 2
    assert "did you mean score?" in failed.output


def test_schema_is_a_json_schema_that_reports_fit(run, reports):
    import json

    import jsonschema

    schema = json.loads(run("schema").stdout)
    jsonschema.validate(json.loads(reports["whole"].read_text()), schema)


def test_version(run):
    from assay.cli.version import installed_version

    shown = run("--version")
    assert shown.exit_code == 0
    assert shown.stdout == f"assay {installed_version()}\n"
