from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from assay.cli.main import assay
from click.testing import CliRunner, Result

Run = Callable[..., Result]

SCORE = [
    "score",
    "zoo:tms-5-2",
    "--setting",
    "mechanism",
    "--delta",
    "0.1",
    "--part-bits",
    "8",
    "--limit",
    "64",
]


@pytest.fixture
def tms() -> list[str]:
    """The words that score a mechanism of a toy model on a few data."""
    return list(SCORE)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(assay, [str(a) for a in arguments])


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of three explanations of one mechanism, and one on other data."""
    folder = tmp_path_factory.mktemp("reports")
    out = ["--out", str(folder / "r.json")]
    explain = [
        "--explain",
        "network,name=whole",
        "--explain",
        "neurons,name=neurons",
        "--explain",
        "lookup,name=list",
    ]
    made = CliRunner().invoke(assay, [*SCORE, *explain, *out])
    assert made.exit_code == 0, made.output
    other = [*SCORE[:-1], "32", "--explain", "network", "--out", str(folder / "other.json")]
    assert CliRunner().invoke(assay, other).exit_code == 0
    named = {name: folder / f"r.{name}.json" for name in ("whole", "neurons", "list")}
    return {**named, "other": folder / "other.json"}
