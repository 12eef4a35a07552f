from __future__ import annotations

import json

import pytest
from assay.mdl.report import load_report


def test_lines_add_up_and_differences_are_differences(run, reports):
    made = json.loads(run("compare", reports["whole"], reports["neurons"], reports["list"], "--json").stdout)
    rows = {row["name"]: row for row in made["rows"]}
    for row in rows.values():
        assert row["total"] == pytest.approx(
            sum(row[s] for s in ("parts", "support", "values", "correction"))
        )
    for pair in made["paired"]:
        assert pair["difference"] == pytest.approx(rows[pair["a"]]["total"] - rows["whole"]["total"])
        assert pair["interval"][0] <= pair["difference"] + 1e-9
        assert pair["difference"] - 1e-9 <= pair["interval"][1]


def test_break_even_is_where_the_laws_cross(run, reports):
    whole, listed = (load_report(reports[name]).law.law() for name in ("whole", "list"))
    shown = run("compare", reports["list"], reports["whole"]).stdout
    crossings = whole.crossings(listed)
    if not crossings:
        shorter = "shorter" if whole(1) <= listed(1) else "longer"
        assert f"whole is {shorter} than list at every N up to 10¹² samples" in shown
    for N in crossings:
        assert (whole(N) <= listed(N)) != (whole(N - 1) <= listed(N - 1))
        assert f"{N:,}" in shown or f"{N - 1:,}" in shown


def test_reports_about_different_data_are_refused(run, reports):
    failed = run("compare", reports["whole"], reports["other"], "--html", "page.html")
    assert failed.exit_code == 2
    assert "data_fingerprint" in failed.stderr
    assert failed.stdout == ""


def test_fail_if_longer(run, reports):
    shorter, longer = reports["whole"], reports["list"]
    assert run("compare", shorter, longer).exit_code == 0
    failed = run("compare", shorter, longer, "--fail-if-longer", "0.01")
    assert failed.exit_code == 1
    assert "longer than allowed: list" in failed.stderr
    assert run("compare", longer, shorter, "--fail-if-longer", "0.01").exit_code == 0
    assert run("compare", shorter, shorter, "--fail-if-longer", "0").exit_code == 0
    ratio = load_report(longer).ledger.total / load_report(shorter).ledger.total
    assert run("compare", shorter, longer, "--fail-if-longer", ratio - 0.999).exit_code == 0
    assert run("compare", shorter, longer, "--fail-if-longer", ratio - 1.001).exit_code == 1


def test_the_baseline_is_chosen_by_name(run, reports):
    made = json.loads(
        run("compare", reports["whole"], reports["list"], "--baseline", "list", "--json").stdout
    )
    assert [pair["b"] for pair in made["paired"]] == ["list"]
    unknown = run("compare", reports["whole"], "--baseline", "nobody")
    assert unknown.exit_code == 2
    assert "'nobody'" in unknown.stderr


def test_the_page_stands_alone(run, reports, tmp_path):
    from html.parser import HTMLParser

    fetched: list[tuple[str, str | None]] = []
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            opened.append(tag)
            fetched.extend(a for a in attributes if a[0] in ("src", "href"))

    done = run("compare", reports["whole"], reports["list"], "--html", "page.html")
    assert done.exit_code == 0
    text = (tmp_path / "page.html").read_text()
    Reader().feed(text)
    assert fetched == []
    assert "script" not in opened
    assert opened.count("svg") == 2
    assert len(text) < 300_000
    assert "prefers-color-scheme: dark" in text


def test_names_are_escaped_on_the_page(run, tms, tmp_path):
    hostile = "<script>alert(1)</script>"
    run(*tms, "--explain", f"network,name={hostile}", "--out", "r.json")
    assert run("compare", "r.json", "--html", "page.html").exit_code == 0
    text = (tmp_path / "page.html").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_who_is_beaten_and_by_whom(run, reports):
    words = ["compare", reports["whole"], reports["neurons"], reports["list"]]
    made = json.loads(run(*words, "--json").stdout)["pareto"]
    assert [place["name"] for place in made] == ["whole", "neurons", "list"]
    assert any(not place["beaten_by"] for place in made)
    shown = run(*words, "--pareto").stdout
    assert "beaten by" in shown
    assert "beaten by" not in run(*words).stdout


def test_readings_are_shown_where_reports_have_them(run, tms, reports):
    assert run(*tms, "--explain", "network", "--readings", "--out", "r.json").exit_code == 0
    shown = run("compare", "r.json", "--readings").stdout
    assert "Other definitions" in shown
    report = load_report("r.json")
    assert f"{report.readings['parameters']:.0f}" in shown
    made = json.loads(run("compare", "r.json", "--json").stdout)
    assert made["readings"] == {"whole network": report.readings}
    missing = run("compare", reports["whole"], "--readings")
    assert missing.exit_code == 2
    assert "--readings" in missing.stderr
