"""The tour on a few data: everything real, only smaller."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from assay.cli.tour import read_tour, tables
from assay.explanations.specs import Spec
from assay.mdl.report import load_report

demo = import_module("assay.cli.demo")


@pytest.fixture
def small(monkeypatch):
    plans = read_tour()
    sizes = {"tms": 200, "byte-lm-site": 2, "byte-lm-mechanism": 1}
    for plan in plans:
        plan["limit"] = sizes[plan["name"]]
        plan["part_bits"] = 8
    monkeypatch.setattr(demo, "read_tour", lambda: plans[:1])


def test_the_tour_writes_its_page_its_reports_and_its_certificates(run, small, tmp_path):
    done = run("demo", "--out", "tour")
    assert done.exit_code == 0, done.output
    assert "overtakes true components at N = " in done.stdout
    assert "PROVED: equal inputs cancel" in done.stdout
    assert "REFUTED: any two inputs cancel" in done.stdout
    out = tmp_path / "tour"
    text = (out / "index.html").read_text()
    assert "true components" in text
    assert "counterexample: x1 = " in text
    for path in out.glob("*.report.json"):
        load_report(path)
    assert len(list(out.glob("tms.*.report.json"))) == len(read_tour()[0]["explain"])
    assert run("check", *(out / "certificates").glob("*.json")).exit_code == 0


def test_json_holds_the_tables_and_the_verdicts(run, small):
    made = json.loads(run("demo", "--out", "tour", "--json").stdout)
    assert [claim["status"] for claim in made["claims"]] == ["proved", "refuted"]
    names = [row["name"] for row in made["tables"]["tms"]["rows"]]
    assert len(names) >= 7
    for row in made["tables"]["tms"]["rows"]:
        assert row["total"] == pytest.approx(
            row["parts"] + row["support"] + row["values"] + row["correction"]
        )


def test_the_true_components_are_shortest_to_read_for_one_datum(run, small):
    made = json.loads(run("demo", "--out", "tour", "--json").stdout)
    first = {row["name"]: row["L1"] for row in made["tables"]["tms"]["rows"]}
    true = first["true components"]
    for other in ("SVD components", "neurons", "everything is relevant", "lookup table"):
        assert true < first[other]


def test_every_plan_of_the_tour_names_what_it_compares():
    plans = read_tour()
    assert {plan["name"] for plan in plans} == {"tms", "byte-lm-site", "byte-lm-mechanism"}
    for plan in plans:
        names = [Spec.parse(text).options["name"] for text in plan["explain"]]
        assert len(set(names)) == len(names)
        assert plan["baseline"] in names
        assert set(plan.get("overtakes", [])) <= set(names)


def test_two_processes_give_the_reports_of_one():
    plans = read_tour()[:1] * 2
    for plan in plans:
        plan["limit"] = 50
    (alone,) = tables(plans[:1], "cpu", None)
    news: list[tuple[str, int, int]] = []
    first, second = tables(plans, "cpu", lambda *told: news.append(told))
    for made in (first, second):
        assert [r.ledger for r in made.reports] == [r.ledger for r in alone.reports]
        assert [r.law for r in made.reports] == [r.law for r in alone.reports]
    assert {name for name, _, _ in news} <= {row.name for row in alone.compared.rows}
    assert news


@pytest.mark.slow
def test_the_whole_tour(run):
    made = json.loads(run("demo", "--out", "tour", "--json").stdout)
    assert list(made["tables"]) == ["tms", "byte-lm-site", "byte-lm-mechanism"]
    site = made["tables"]["byte-lm-site"]
    told = " ".join(site["findings"])
    for row in site["rows"]:
        assert row["name"] == "neurons" or row["name"] in told
