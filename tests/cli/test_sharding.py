from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

EXPLAIN = ["--explain", "network", "--explain", "neurons"]
SITE = ["score", "zoo:tms-5-2", "--site", "hook_hidden", "--delta", "0.05", "--limit", "100"]
SITE += ["--explain", "neurons", "--explain", "pca"]


def documents(folder: Path, stem: str) -> dict[str, dict]:
    """The reports that were written, without the name of their files."""
    found = {p.name.removeprefix(f"{stem}."): json.loads(p.read_text()) for p in folder.glob(f"{stem}*.json")}
    assert found
    return found


@pytest.fixture(params=["mechanism", "site"])
def words(request, tms) -> list[str]:
    return [*tms, *EXPLAIN] if request.param == "mechanism" else list(SITE)


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_put_together_give_the_report_of_the_whole(run, words, tmp_path, shards):
    assert run(*words, "--out", "whole.json").exit_code == 0
    for i in reversed(range(shards)):
        made = run(
            *words, "--shard", f"{i}/{shards}", "--out", f"{i}.tally", "--batch-size", str(7 * (i + 1))
        )
        assert made.exit_code == 0, made.output
        assert f"wrote {i}.tally" in made.stdout
    made = run(*words, "--tallies", "*.tally", "--out", "merged.json")
    assert made.exit_code == 0, made.output
    assert documents(tmp_path, "merged") == documents(tmp_path, "whole")


def test_shards_without_data_are_empty(run, words, tmp_path):
    few = [*words, "--limit", "2"]
    assert run(*few, "--out", "whole.json").exit_code == 0
    for i in range(5):
        assert run(*few, "--shard", f"{i}/5", "--out", f"{i}.tally").exit_code == 0
    assert run(*few, "--tallies", "*.tally", "--out", "merged.json").exit_code == 0
    assert documents(tmp_path, "merged") == documents(tmp_path, "whole")


def test_torchruns_environment_names_the_shard(run, words, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(*words, "--shard", "auto", "--out", "auto.tally").exit_code == 0
    assert run(*words, "--shard", "1/2", "--out", "told.tally").exit_code == 0
    assert (tmp_path / "auto.tally").read_bytes() == (tmp_path / "told.tally").read_bytes()


def test_a_shard_that_is_missing_doubled_or_of_something_else_is_named(run, words):
    for i in range(2):
        run(*words, "--shard", f"{i}/2", "--out", f"{i}.tally")
    missing = run(*words, "--tallies", "0.tally", "--out", "r.json")
    assert missing.exit_code == 2
    assert "chunks are not tallied yet" in missing.stderr
    doubled = run(*words, "--tallies", "0.tally", "--tallies", "0.tally", "--out", "r.json")
    assert "was tallied twice: the shards overlap" in doubled.stderr
    other = run(*words, "--delta", "0.2", "--tallies", "[01].tally", "--out", "r.json")
    assert other.exit_code == 2
    assert "0.tally: tallies that differ in delta do not add" in other.stderr
    assert "no file matches" in run(*words, "--tallies", "x*.tally").stderr
    assert not Path("r.json").exists()


def test_an_interrupted_score_goes_on_to_the_same_report(run, words, tmp_path, monkeypatch):
    import assay.mdl.mechanism_score as mechanism
    import assay.mdl.site_score as site

    assert run(*words, "--out", "whole.json").exit_code == 0
    assert not (tmp_path / "whole.json.tally").exists()
    calls, by_rows, by_data = [], site.tally_rows, mechanism._Sending.tally

    def counted(original, limit):
        def call(*arguments):
            calls.append(1)
            if len(calls) == limit:
                raise KeyboardInterrupt
            return original(*arguments)

        return call

    for limit in (70, 90):
        calls.clear()
        monkeypatch.setattr(site, "tally_rows", counted(by_rows, limit))
        monkeypatch.setattr(mechanism._Sending, "tally", counted(by_data, limit))
        stopped = run(*words, "--out", "again.json", "--resume")
        if stopped.exit_code == 0:
            break
        assert stopped.exit_code == 130
        assert (tmp_path / "again.json.tally").exists()
    calls.clear()
    monkeypatch.setattr(site, "tally_rows", counted(by_rows, 10**9))
    monkeypatch.setattr(mechanism._Sending, "tally", counted(by_data, 10**9))
    assert run(*words, "--out", "again.json", "--resume").exit_code == 0
    assert len(calls) < 64 + 40  # calibration and what was left
    assert documents(tmp_path, "again") == documents(tmp_path, "whole")
    assert not (tmp_path / "again.json.tally").exists()


def test_tallies_of_another_question_are_not_gone_on_with(run, words, tmp_path):
    assert run(*words, "--shard", "0/2", "--out", "r.json.tally").exit_code == 0
    refused = run(*words, "--delta", "0.2", "--out", "r.json", "--resume")
    assert refused.exit_code == 2
    assert "r.json.tally: tallies that differ in delta do not add: got 0." in refused.stderr
    assert "score without --resume to begin anew" in refused.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--resume"], "--resume needs --out"),
        (["--shard", "0/2"], "--shard needs --out"),
        (["--shard", "2/2", "--out", "x"], "expected I/N with 0 <= I < N"),
        (["--shard", "auto", "--out", "x"], "needs RANK and WORLD_SIZE"),
        (["--tallies", "t", "--resume", "--out", "x"], "--tallies puts shards together"),
        (["--processes", "2", "--shard", "0/2", "--out", "x"], "--processes tallies and merges"),
        (["--processes", "0"], "0 is not in the range"),
        (["--tallies", "none.tally"], "none.tally: there is no such file of tallies"),
    ],
)
def test_wrong_words_are_told(run, tms, monkeypatch, more, told):
    monkeypatch.delenv("RANK", raising=False)
    made = run(*tms, *EXPLAIN, *more)
    assert made.exit_code == 2
    assert told in made.stderr


def test_processes_side_by_side_give_the_report_of_one(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assert run(*SITE, "--out", "whole.json").exit_code == 0
    made = run(*SITE, "--processes", "2", "--out", "many.json")
    assert made.exit_code == 0, made.output
    assert documents(tmp_path, "many") == documents(tmp_path, "whole")
    assert not list(tmp_path.glob("*.tally"))


def test_what_goes_wrong_in_a_process_is_told_as_its_own(monkeypatch):
    from assay.cli.failures import Failure
    from assay.cli.processes import side_by_side

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with (
        pytest.raises(Failure, match="none") as failed,
        side_by_side(["score", "zoo:none", "--site", "x", "--explain", "neurons"], 1),
    ):
        pass
    assert failed.value.exit_code == 2
