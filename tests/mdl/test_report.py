import json
import math

import jsonschema
import numpy as np
import pytest
import torch
from assay.mdl import ReportError, json_schema, load_report, load_reports
from assay.mdl.intervals import interval, paired
from assay.mdl.report import write_whole

from .conftest import reported


def on_disk(report) -> dict:
    return json.loads(report.model_dump_json(by_alias=True))


def test_a_report_is_read_back_as_it_was(report, tmp_path):
    report.save(tmp_path / "r.json")
    assert load_report(tmp_path / "r.json") == report
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_report_is_valid_by_its_published_schema(report):
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(on_disk(report), schema)


def test_infinite_and_undefined_figures_travel_and_are_valid(report, tmp_path):
    odd = report.model_copy(update={"faithfulness": {"kl_bits": math.inf, "fvu": math.nan}})
    odd.save(tmp_path / "r.json")
    back = load_report(tmp_path / "r.json").faithfulness
    assert back["kl_bits"] == math.inf
    assert math.isnan(back["fvu"])
    assert "Infinity" not in (tmp_path / "r.json").read_text()
    jsonschema.validate(on_disk(odd), json_schema())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda r: r.pop("ledger"),
        lambda r: r.update(surplus=1),
        lambda r: r.update(schema="assay.report/0"),
        lambda r: r["ledger"]["lines"][0].update(section="gifts"),
        lambda r: r["scope"].update(data="many"),
    ],
)
def test_what_is_not_a_report_is_refused_by_reader_and_schema(report, spoil, tmp_path):
    spoilt = on_disk(report)
    spoil(spoilt)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoilt, json_schema())
    (tmp_path / "r.json").write_text(json.dumps(spoilt))
    with pytest.raises(ReportError, match=r"r\.json: not a report of schema assay\.report/1"):
        load_report(tmp_path / "r.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b'{"schema": NaN}', b"\xff\xfe"])
def test_a_broken_file_is_one_clear_error(content, tmp_path):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(ReportError, match=r"r\.json"):
        load_report(tmp_path / "r.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ReportError, match=r"nowhere\.json: cannot be read"):
        load_report(tmp_path / "nowhere.json")


def test_the_ledger_of_a_report_adds_up(report):
    lines = report.ledger.lines
    assert report.ledger.total == math.fsum(line.bits for line in lines)
    assert report.ledger.total_per_sample == report.ledger.total / report.samples
    sections = ("parts", "support", "values", "correction")
    assert math.fsum(report.section(s) for s in sections) == pytest.approx(report.ledger.total_per_sample)


def test_the_law_in_a_report_is_the_law(report):
    law = report.law.law()
    assert {N: law(N) for N in (1, 1_000, 1_000_000)} == report.law.at
    assert law.rate == report.law.rate
    low, high = report.intervals.total_per_sample
    assert low < report.ledger.total_per_sample < high


def test_reports_become_tidy_frames(report, table, problem, tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        report.save(path)
    frames = load_reports(paths)
    assert len(frames["reports"]) == 2
    assert frames["reports"]["total"].tolist() == [report.ledger.total] * 2
    assert len(frames["lines"]) == 2 * len(report.ledger.lines)
    by_report = frames["lines"].groupby("path")["bits"].sum()
    assert by_report.tolist() == pytest.approx([report.ledger.total] * 2)
    assert frames["claims"].empty


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "r.json").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "r.json", "new \ud800")
    assert (tmp_path / "r.json").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Means of 32 independent blocks: about 95 % of the intervals hold the true mean."""
    rng = np.random.default_rng(0)
    rows = np.full(32, 10.0)
    hits = 0
    for trial in range(200):
        low, high = interval(rng.normal(50, 5, 32), rows, seed=trial)
        hits += low <= 5 <= high
    assert 0.88 < hits / 200 < 0.99


def test_what_is_paid_once_moves_the_interval_and_nothing_else():
    bits, rows = np.array([1.0, 2.0, 4.0, 3.0]), np.array([2.0, 2.0, 2.0, 2.0])
    low, high = interval(bits, rows)
    assert interval(bits, rows, fixed=80.0) == pytest.approx((low + 10, high + 10))
    assert interval(bits, rows) == (low, high)


def test_pairing_removes_what_two_explanations_share():
    rng = np.random.default_rng(1)
    shared, rows = rng.normal(100, 30, 32), np.full(32, 10.0)
    a, b = shared + 5 + rng.normal(0, 0.1, 32), shared
    low, high = paired(a, b, rows)
    assert low < 0.5 < high
    assert high - low < 0.02 < interval(a, rows)[1] - interval(a, rows)[0]


def test_a_site_report_reads_back(site_score, tmp_path):
    report = reported(site_score, setting="site", target="activations", data=200, rows=200)
    report.save(tmp_path / "site.json")
    assert load_report(tmp_path / "site.json") == report
    jsonschema.validate(on_disk(report), json_schema())


def test_frames_are_tidy(tmp_path):
    import pandas as pd
    from assay.explanations import Evidence, Question, weigh
    from assay.models import Activations

    x = Activations(torch.arange(12.0).reshape(4, 3), "x", "", "")
    question = Question("site", "activations", "x", 0.5, 8, audit=True, readings=True)
    paths = []
    for report in weigh(Evidence(question, None, None, x, None), ["neurons", "pca"]):
        paths.append(tmp_path / f"{report.explanation.kind}.json")
        report.save(paths[-1])
    frames = load_reports(paths)
    assert set(frames) == {"reports", "lines", "checks", "readings", "claims"}
    assert list(frames["reports"]["name"]) == ["neuron basis", "PCA"]
    totals = frames["lines"].groupby("path")["bits"].sum()
    assert totals.to_dict() == pytest.approx(frames["reports"].set_index("path")["total"].to_dict())
    assert {"mdl_sae", "parameters"} <= set(frames["readings"]["reading"])
    assert "bitstream_bits" in set(frames["checks"]["check"])
    assert frames["claims"].empty
    assert all(isinstance(frame, pd.DataFrame) for frame in frames.values())
