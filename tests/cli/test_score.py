from __future__ import annotations

import json

import numpy as np
import pytest
from assay.cli.figures import amount
from assay.mdl.report import load_report

EXPLAIN = ["--explain", "network", "--explain", "lookup"]


def test_json_is_the_report_and_tables_say_the_same(run, tms):
    one = json.loads(run(*tms, "--explain", "network", "--json").stdout)
    both = json.loads(run(*tms, *EXPLAIN, "--json").stdout)
    assert one["schema"] == "assay.report/1"
    assert [r["explanation"]["kind"] for r in both] == ["network", "lookup"]
    assert both[0]["ledger"] == one["ledger"]
    shown = run(*tms, *EXPLAIN).stdout
    assert f"{one['ledger']['total_per_sample']:.2f}" in shown
    assert "L(10³)" in shown


def test_one_report_keeps_its_name_several_carry_theirs(run, tms, tmp_path):
    run(*tms, "--explain", "network", "--out", "a.json")
    run(*tms, *EXPLAIN, "--explain", "network", "--out", "b.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.json",
        "b.lookup-table.json",
        "b.whole-network-2.json",
        "b.whole-network.json",
    ]


def test_an_existing_report_is_replaced(run, tms, tmp_path):
    (tmp_path / "a.json").write_text("x" * 100_000)
    assert run(*tms, "--explain", "network", "--out", "a.json").exit_code == 0
    assert load_report(tmp_path / "a.json").explanation.kind == "network"


def test_an_interrupted_score_leaves_the_earlier_report(run, tms, tmp_path, monkeypatch):
    import assay.explanations.weighing

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a.json").write_text("before")
    monkeypatch.setattr(assay.explanations.weighing, "weigh", stop)
    done = run(*tms, "--explain", "network", "--out", "a.json")
    assert done.exit_code == 130
    assert (tmp_path / "a.json").read_text() == "before"


@pytest.mark.parametrize("batch", ["1", "7", "auto"])
def test_the_score_does_not_depend_on_the_batch_size(run, tms, batch):
    whole = json.loads(run(*tms, "--explain", "network", "--json").stdout)
    batched = json.loads(run(*tms, "--explain", "network", "--json", "--batch-size", batch).stdout)
    assert batched["ledger"] == whole["ledger"]
    assert batched["law"] == whole["law"]


def test_the_recorded_command_gives_the_same_report_again(run, tms):
    import shlex

    first = json.loads(run(*tms, "--explain", "circuit,keep=0.8,name=a circuit", "--json").stdout)
    words = shlex.split(first["environment"]["command"])
    assert "circuit,keep=0.8,name=a circuit" in words
    again = json.loads(run(*words[words.index("score") :], "--json").stdout)
    assert again == first


def test_cached_activations_score_like_the_model_they_came_from(run, tmp_path):
    from assay.models import collect, load, load_dataset

    network = load("zoo:tms-5-2")
    collect(network, load_dataset("zoo", network, 64), "hook_hidden").save(tmp_path / "a.safetensors")
    common = ["--explain", "neurons", "--delta", "0.1", "--json"]
    cached = json.loads(run("score", "--activations", "a.safetensors", *common).stdout)
    ran = json.loads(run("score", "zoo:tms-5-2", "--site", "hook_hidden", "--limit", "64", *common).stdout)
    assert cached["ledger"] == ran["ledger"]
    assert cached["scope"]["site"] == "hook_hidden"
    assert cached["scope"]["model_digest"] == network.digest


def test_limit_counts_whole_data_of_cached_activations(run, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(10, 3, 4)))
    common = ["--explain", "neurons", "--delta", "0.1", "--json"]
    made = json.loads(run("score", "--activations", "a.npy", "--limit", "4", *common).stdout)
    assert (made["scope"]["data"], made["samples"]) == (4, 12)


def test_options_come_from_a_file_then_the_environment_then_the_command_line(run, tms, tmp_path, monkeypatch):
    def delta(*more: str) -> float:
        made = run("score", "zoo:tms-5-2", "--explain", "network", "--json", "--config", "c.toml", *more)
        assert made.exit_code == 0, made.output
        found: float = json.loads(made.stdout)["scope"]["delta"]
        return found

    (tmp_path / "c.toml").write_text('setting = "mechanism"\npart-bits = 8\nlimit = 16\ndelta = 0.5\n')
    assert delta() == 0.5
    monkeypatch.setenv("ASSAY_SCORE_DELTA", "0.25")
    assert delta() == 0.25
    assert delta("--delta", "0.125") == 0.125


def test_yaml_holds_a_table_for_each_command(run, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "score:\n  model: zoo:tms-5-2\n  setting: mechanism\n  delta: 0.1\n  limit: 16\n  part_bits: 8\n"
        "  explain: [network, lookup]\nverify:\n  budget: 5s\n"
    )
    made = run("score", "--config", "c.yaml", "--json")
    assert made.exit_code == 0, made.output
    assert len(json.loads(made.stdout)) == 2


def test_a_common_option_reads_its_short_variable(run, tms, monkeypatch):
    monkeypatch.setenv("ASSAY_SEED", "5")
    made = json.loads(run(*tms, "--explain", "network", "--json").stdout)
    assert made["environment"]["seed"] == 5


def test_a_wider_type_is_another_network(run, tms):
    stored = json.loads(run(*tms, "--explain", "network", "--json").stdout)
    wide = json.loads(run(*tms, "--explain", "network", "--json", "--dtype", "float64").stdout)
    assert stored["scope"]["model_digest"] != wide["scope"]["model_digest"]


def test_rich_and_plain_show_the_same_numbers(run, tms):
    plain = run(*tms, *EXPLAIN, "--display", "plain").stdout
    rich = run(*tms, *EXPLAIN, "--display", "rich").stdout
    row = next(line for line in plain.splitlines() if line.startswith("whole network"))
    numbers = row.replace("*", "").split()[2:]
    assert len(numbers) > 6
    assert all(number in rich for number in numbers)


def test_held_out_lengths_and_flips_are_told_and_recorded(run):
    words = ["score", "zoo:tms-5-2", "--site", "hook_hidden", "--delta", "0.05", "--limit", "200"]
    words += ["--explain", "neurons", "--explain", "pca", "--held-out", "--robust"]
    made = json.loads(run(*words, "--json").stdout)
    shown = run(*words).stdout
    for report in made:
        checks = report["checks"]
        assert checks["heldout_rows"] == 100
        assert checks["plug_in_bias"] == pytest.approx(
            checks["heldout_frozen"] / checks["heldout_plug_in"] - 1
        )
        assert f"held out, {report['explanation']['name']}: {checks['heldout_frozen']:.2f} bits" in shown
    flips = [r["checks"]["place_changes_under"] for r in made]
    assert ("the ranking stays under delta × 2" in shown) == (not any(flips))
    assert ("would change its place under" in shown) == any(flips)


def test_mechanisms_are_held_out_and_those_that_cannot_be_say_why(run, tms):
    explain = [word for kind in ("network", "neurons", "lookup", "student") for word in ("--explain", kind)]
    made = run(*tms, *explain, "--held-out")
    assert made.exit_code == 0, made.output
    checks = [r["checks"] for r in json.loads(run(*tms, *explain, "--held-out", "--json").stdout)]
    for held, name in zip(checks[:2], ("whole network", "neurons"), strict=True):
        assert held["heldout_rows"] == 32
        assert held["heldout_frozen"] > 0
        assert f"held out, {name}: {amount(held['heldout_frozen'])} bits" in made.stdout
    assert checks[2]["heldout"] == "not possible: new data bring new parts"
    assert checks[3]["heldout"].startswith("not needed: a student pays")


def test_a_student_learns_the_outputs_and_sends_no_parts(run, tms):
    made = run(*tms, "--explain", "student", "--explain", "answers", "--readings", "--audit", "--json")
    assert made.exit_code == 0, made.stderr
    student = json.loads(made.stdout)[0]
    assert student["explanation"]["kind"] == "student"
    assert [line["section"] for line in student["ledger"]["lines"]] == ["parts", "correction"]
    assert student["ledger"]["lines"][0]["bits"] == 0
    assert student["ledger"]["lines"][1]["status"] == "exact"
    assert abs(student["checks"]["bitstream_excess"]) < 0.005
    refused = run("score", "zoo:tms-5-2", "--site", "hook_hidden", "--delta", "0.1", "--explain", "student")
    assert refused.exit_code == 2
    assert "--setting mechanism" in refused.stderr
