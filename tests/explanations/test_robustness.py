from __future__ import annotations

import numpy as np
import pytest
import torch
from assay.explanations import Evidence, Question, weigh
from assay.explanations.heldout import held_out_checks
from assay.explanations.registry import KINDS
from assay.explanations.robustness import Variation, marked, variations
from assay.mdl import Code, Dictionary
from assay.models import Activations

SPECS = ["neurons", "pca", "lookup"]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """600 rows of a Gaussian that lies along a diagonal, with 20 distinct rows in the second half."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3)) @ np.array([[3, 3, 3], [0.2, -0.2, 0], [0, 0.2, -0.2]])
    values = torch.from_numpy(x).float()
    question = Question("site", "activations", "x", 0.25, 8, held_out=True)
    return Evidence(question, None, None, Activations(values, "x", "", ""), None)


def test_places_count_the_shorter_ones():
    assert Variation("", (3.0, 1.0, 2.0, 1.0)).places == (3, 0, 2, 0)


def test_a_variation_is_the_score_with_that_choice(evidence):
    reports = weigh(evidence, SPECS)
    varied = {v.choice: v for v in variations(evidence, SPECS, reports)}
    assert set(varied) == {"", "delta × 2", "delta / 2", "precision + 1", "precision − 1"}
    coarse = weigh(
        Evidence(Question("site", "activations", "x", 0.5, 8), None, None, evidence.activations, None), SPECS
    )
    assert varied["delta × 2"].totals == tuple(r.ledger.total_per_sample for r in coarse)
    exact = weigh(
        Evidence(Question("site", "activations", "x", 0.25, 9), None, None, evidence.activations, None), SPECS
    )
    assert varied["precision + 1"].totals == tuple(r.ledger.total_per_sample for r in exact)


def test_flips_are_marked_on_the_reports_they_move(evidence):
    reports = weigh(evidence, SPECS)
    swapped = [
        Variation("", (1.0, 2.0, 3.0)),
        Variation("delta × 2", (2.0, 1.0, 3.0)),
        Variation("y", (1.0, 2.0, 9.0)),
    ]
    found = [r.checks["place_changes_under"] for r in marked(reports, swapped)]
    assert found == ["delta × 2", "delta × 2", ""]


def test_held_out_explanations_have_not_seen_the_second_half(evidence):
    first = held_out_checks(evidence, "pca")
    changed = evidence.activations.values.clone()
    changed[300:] = changed[300:].flip(0)
    other = Evidence(evidence.question, None, None, Activations(changed, "x", "", ""), None)
    assert held_out_checks(other, "pca") == pytest.approx(first)


def test_reports_say_why_a_lookup_table_is_not_held_out(evidence):
    checks = {r.explanation.kind: r.checks for r in weigh(evidence, SPECS)}
    assert checks["lookup"]["heldout"] == "not possible: new data bring new parts"
    assert checks["pca"]["heldout_rows"] == 300
    assert "heldout_frozen" not in checks["lookup"]


class Resampled:
    """A basis whose donor decides how far its values are off."""

    kind = "donated"
    donors = ("zero", "mean", "resample")
    open_ended = False

    def __init__(self, donor: str) -> None:
        self.name = self.donor = donor
        self.off = {"zero": 0.0, "mean": 0.3, "resample": 40.0}[donor]

    def dictionary(self) -> Dictionary:
        return Dictionary(torch.eye(3), torch.zeros(3))

    def code(self, x: torch.Tensor) -> Code:
        return Code.dense(x + self.off)

    def recipe(self) -> dict[str, object]:
        return {"donor": self.donor}


def test_donors_are_varied_where_a_kind_has_them(evidence, monkeypatch):
    monkeypatch.setitem(KINDS, "donated", lambda spec, subject: Resampled(spec.options.get("donor", "mean")))
    specs = ["donated,name=a", "neurons"]
    reports = weigh(evidence, specs)
    varied = {v.choice: v for v in variations(evidence, specs, reports)}
    assert {"donor zero", "donor resample"} <= set(varied)
    assert "donor mean" not in varied
    as_is = varied[""].totals
    (zero,) = weigh(evidence, ["donated,donor=zero"])
    assert varied["donor zero"].totals == (zero.ledger.total_per_sample, as_is[1])
    assert varied["donor resample"].totals[0] > max(as_is)
    checks = marked(reports, list(varied.values()))[0].checks
    assert "donor zero" in checks["choices_tried"]
    flips = varied["donor resample"].places[0] != varied[""].places[0]
    assert ("donor resample" in checks["place_changes_under"]) == flips
