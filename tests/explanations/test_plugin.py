"""The example plug-in is found as an installed package would be: through its distribution's entry points."""

import importlib
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from assay.explanations import ExplanationError, Question, gather, weigh
from assay.models import zoo

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin-kind"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """What pip leaves in site-packages: the module, and the metadata that pyproject.toml declares."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copy(EXAMPLE / "assay_prototypes.py", tmp_path)
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in own.items()) for group, own in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("assay_prototypes", None)


@pytest.fixture(scope="module")
def evidence():
    question = Question("site", "activations", site="layers.0", delta=0.1)
    return gather(question, zoo.load("digits"), zoo.data("digits", 360, 1))


@pytest.mark.usefixtures("installed")
def test_the_kind_is_built_and_scored(evidence):
    few, many = weigh(evidence, ["prototypes,k=1", "prototypes,k=20,name=twenty"])
    assert (few.explanation.kind, few.explanation.name) == ("prototypes", "1 prototypes")
    assert many.explanation.name == "twenty"
    assert many.explanation.recipe == {"kind": "prototypes", "k": 20}
    assert many.faithfulness["fvu"] < few.faithfulness["fvu"] - 0.2
    assert many.ledger.total < few.ledger.total


@pytest.mark.usefixtures("installed")
def test_its_errors_are_the_rooms_own(evidence):
    with pytest.raises(ExplanationError, match="k must lie in 1"):
        weigh(evidence, ["prototypes,k=9999"])
    with pytest.raises(ExplanationError, match="unknown option"):
        weigh(evidence, ["prototypes,size=3"])
    with pytest.raises(ExplanationError, match="prototypes"):  # an unknown kind lists it
        weigh(evidence, ["prototype"])


def test_without_the_package_the_kind_is_unknown(evidence):
    with pytest.raises(ExplanationError, match="unknown kind 'prototypes'"):
        weigh(evidence, ["prototypes"])


def test_the_example_stays_small():
    assert len((EXAMPLE / "assay_prototypes.py").read_text().splitlines()) < 60
