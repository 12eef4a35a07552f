"""Tallies are written as they grow, and belong to one explanation."""

from __future__ import annotations

import pytest
import torch
from assay.explanations import Evidence, NeuronBasis, Question, pca, weigh
from assay.explanations.tallies import Tallies
from assay.explanations.weighing import tally
from assay.mdl.tally_files import TallyFile
from assay.mdl.tallying import Shard, TallyError
from assay.models import Activations


@pytest.fixture
def evidence() -> Evidence:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    return Evidence(
        Question("site", "activations", "x", 0.25, 8), None, None, Activations(x, "x", "", ""), None
    )


def test_the_file_grows_with_every_chunk_that_is_due(evidence, tmp_path):
    path = tmp_path / "a.tally"
    tallies = Tallies.begin(path, evidence, ["neurons"])
    tallies.every, tallies._due = 0.0, 0.0
    seen: list[int] = []

    def progress(name: str, done: int, total: int) -> None:
        seen.append(int(TallyFile.load(path).entries["0"].done.sum()))
        tallies._due = 0.0

    weigh(evidence, ["neurons"], progress=progress, tallies=tallies)
    assert seen == list(range(1, 33))


def test_a_short_run_writes_nothing(evidence, tmp_path):
    weigh(evidence, ["neurons"], tallies=Tallies.begin(tmp_path / "a.tally", evidence, ["neurons"]))
    assert list(tmp_path.iterdir()) == []


def test_tallies_of_another_explanation_are_refused_by_name(evidence, tmp_path):
    path = tmp_path / "a.tally"
    tally(evidence, ["neurons"], Tallies.begin(path, evidence, ["neurons"], shard=Shard(0, 2)))
    resumed = Tallies.begin(path, evidence, ["neurons"], resume=True)
    resumed.course("0", NeuronBasis(3), None)
    with pytest.raises(TallyError, match=r"a.tally: PCA.*differ in explanation"):
        resumed.course("0", pca(evidence.activations.values), None)
    other = [Tallies.merged([path], evidence, ["neurons"])]
    with pytest.raises(TallyError, match="16 of 32 chunks are not tallied yet"):
        other[0].course("0", NeuronBasis(3), None)
