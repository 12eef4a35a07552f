"""However the data are cut into shards and sittings, the score is the same to the last bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from assay.mdl import CategoricalTarget, GridTarget, MechanismProblem, Score, SiteProblem
from assay.mdl.mechanism_score import mechanism_score, score_mechanism, tally_mechanism
from assay.mdl.report import ExplanationRecord, environment, make_report
from assay.mdl.site_score import score_site, site_score, tally_site
from assay.mdl.tally import merge
from assay.mdl.tally_files import TallyFile
from assay.mdl.tallying import Course, Shard, Tallied, TallyError
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Neurons, Table, scope, sparse_inputs

SHARDS = (1, 2, 3, 5)


def report_of(score: Score) -> str:
    record = ExplanationRecord(kind="k", name="e", digest="d", recipe={})
    made = make_report(score, scope(), record, environment("cpu", 0, ""))
    return made.model_dump_json()


@pytest.fixture(scope="module")
def site() -> SiteProblem:
    """Sequences of three rows, sparse, so that parts have pasts and companions."""
    g = torch.Generator().manual_seed(3)
    x = torch.randn(96, 5, generator=g) * (torch.rand(96, 5, generator=g) < 0.4)
    return SiteProblem(x, GridTarget(0.1), 0.1, positions=3)


@pytest.fixture(scope="module", params=["grid", "categorical"])
def mechanism(request) -> tuple[Table, MechanismProblem]:
    W = torch.randn(8, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = sparse_inputs(150, 8, 1)
    target = GridTarget(0.05) if request.param == "grid" else CategoricalTarget()
    return Table(W), MechanismProblem(x, x @ W, target)


@pytest.mark.parametrize("shards", SHARDS)
def test_shards_of_a_site_add_up_to_the_whole(site, shards):
    whole = report_of(score_site(Neurons(5), site))
    parts = [tally_site(Neurons(5), site, course=Course(Shard(i, shards))) for i in range(shards)]
    for order in (parts, parts[::-1], parts[1:] + parts[:1]):
        assert report_of(site_score(Neurons(5), site, merge(order))) == whole


@pytest.mark.parametrize("shards", SHARDS)
def test_shards_of_a_mechanism_add_up_to_the_whole(mechanism, shards, tmp_path):
    table, problem = mechanism
    whole = report_of(score_mechanism(table, problem, precision=8))
    for i in range(shards):
        tallied = tally_mechanism(table, problem, 8, course=Course(Shard(i, shards)))
        TallyFile({"model": "m"}, {"0": tallied}).save(tmp_path / f"{i}.tally")
    files = [TallyFile.load(tmp_path / f"{i}.tally") for i in range(shards)]
    for order in (files, files[::-1]):
        assert report_of(mechanism_score(table, problem, merge(order).entries["0"])) == whole


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_a_run_that_is_cut_short_anywhere_goes_on_to_the_same_tallies(site, tmp_path_factory, data):
    """Stop after some chunks, write, read, go on; again and again."""
    path = tmp_path_factory.mktemp("t") / "a.tally"
    whole = TallyFile({}, {"0": tally_site(Neurons(5), site, precision=8, calibrate_rows=12)})
    whole.save(path)
    expected, found = path.read_bytes(), None
    while found is None or not found.complete:
        found = _cut_short(site, found, data.draw(st.integers(1, 20)))
        TallyFile({}, {"0": found}).save(path)
        found = TallyFile.load(path).entries["0"]
    assert path.read_bytes() == expected


class Stop(Exception):
    pass


def _cut_short(site: SiteProblem, start: Tallied | None, chunks: int) -> Tallied:
    kept = []

    def keep(tallied: Tallied) -> None:
        kept.append(tallied)
        if len(kept) == chunks:
            raise Stop

    try:
        return tally_site(Neurons(5), site, 8, 12, Course(start=start, keep=keep))
    except Stop:
        return kept[-1]


def test_a_file_keeps_every_integer(site, tmp_path):
    tallied = tally_site(Neurons(5), site)
    TallyFile({"a": [1, None]}, {"x": tallied}).save(tmp_path / "t")
    back = TallyFile.load(tmp_path / "t")
    assert back.about == {"a": [1, None]}
    again = back.entries["x"]
    assert dict(again.choices) == dict(tallied.choices)
    for block, tally in tallied.blocks.items():
        other = again.blocks[block]
        assert (tally.usage, tally.values) == (other.usage, other.values)
        fields = [f.name for f in dataclasses.fields(tally.correction)]
        assert [getattr(tally.correction, f) for f in fields] == [
            getattr(other.correction, f) for f in fields
        ]


def test_tallies_that_do_not_belong_together_are_refused(site):
    first, second = (tally_site(Neurons(5), site, course=Course(Shard(i, 2))) for i in range(2))
    with pytest.raises(TallyError, match=r"16 of 32 chunks are not tallied yet, the first is 16"):
        site_score(Neurons(5), site, first)
    with pytest.raises(TallyError, match="chunk 0 of 32 was tallied twice"):
        first + first
    finer = tally_site(Neurons(5), site, precision=9, course=Course(Shard(1, 2)))
    with pytest.raises(TallyError, match="that differ in precision do not add: got"):
        first + finer
    half = SiteProblem(site.x[:48], site.target, site.delta, 3)
    with pytest.raises(TallyError, match="of 32 chunks, the data have 16"):
        tally_site(Neurons(5), half, course=Course(start=second))
    with pytest.raises(TallyError, match="shard 2/2"):
        Shard(2, 2)


def test_a_damaged_or_hostile_file_is_refused(site, tmp_path):
    path = tmp_path / "t"
    TallyFile({}, {"0": tally_site(Neurons(5), site)}).save(path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(good), size=200):
        path.write_bytes(good[:place] + bytes([good[place] ^ int(rng.integers(1, 256))]) + good[place + 1 :])
        with pytest.raises(TallyError):
            TallyFile.load(path)
    for cut in (0, 7, 100, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(TallyError):
            TallyFile.load(path)
    with pytest.raises(TallyError, match="no such file"):
        TallyFile.load(tmp_path / "none")
