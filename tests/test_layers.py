"""The rooms and who may import whom (see docs/architecture.md)."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": set(),
    "mdl": set(),
    "explanations": {"mdl", "models"},
    "proofs": {"models"},
    "cli": {"mdl", "models", "explanations", "proofs"},
}
SOURCES = [(room, path) for room in MAY_IMPORT for path in sorted((ROOT / room).rglob("*.py"))]
CHECKERS = sorted((ROOT / "proofs").rglob("check*.py"))
PROVERS = [path for room, path in SOURCES if room == "proofs" and path not in CHECKERS]


def imported(tree: ast.Module) -> set[str]:
    """Absolute names of all modules that are imported, anywhere in a file."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            if node.module == "assay":
                names |= {f"assay.{alias.name}" for alias in node.names}
    return names


def rooms_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("assay.")}


@pytest.mark.parametrize(("room", "path"), SOURCES, ids=[str(p.relative_to(ROOT)) for _, p in SOURCES])
def test_imports_point_downwards(room: str, path: Path) -> None:
    upward = rooms_of(imported(ast.parse(path.read_text()))) - MAY_IMPORT[room] - {room}
    assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


@pytest.mark.parametrize("checker", CHECKERS, ids=lambda path: path.name)
def test_a_checker_trusts_the_standard_library_alone(checker: Path) -> None:
    tree = ast.parse(checker.read_text())
    foreign = {name.split(".")[0] for name in imported(tree)} - sys.stdlib_module_names
    assert not foreign
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


@pytest.mark.parametrize("path", PROVERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_prover_shares_no_code_with_a_checker(path: Path) -> None:
    last = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            last |= {(node.module or "").split(".")[-1], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            last |= {alias.name.split(".")[-1] for alias in node.names}
    assert not last & {checker.stem for checker in CHECKERS}


def test_every_package_is_installed() -> None:
    import tomllib

    packages = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    folders = {path.parent for _, path in SOURCES}
    assert packages == {"assay." + ".".join(folder.relative_to(ROOT).parts) for folder in folders}


def test_no_catch_all_modules() -> None:
    names = {path.stem for _, path in SOURCES}
    assert not names & {"utils", "util", "common", "core", "helpers", "misc"}
