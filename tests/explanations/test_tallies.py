"""Tallies are written as they grow, and belong to one explanation."""

from __future__ import annotations

import pytest
import torch
from assay.explanations import Evidence, NeuronBasis, Question, pca, weigh
from assay.explanations.tallies import Tallies
from assay.explanations.weighing import tally
from assay.mdl.tally_files import TallyFile
from assay.mdl.tallying import Shard, TallyError
from assay.models import Activations, Behaviour, Dataset, Network, Scope, perceptron


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


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network("net", perceptron([4, 6, 2]), "regression", "real", (4,))


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Eight micro-batches."""
    x = torch.randn(8192, 4, generator=torch.Generator().manual_seed(0))
    return Dataset("d", x, None, "sample", Scope("", ""))


@pytest.mark.parametrize(
    ("setting", "target", "kind", "all_data"),
    [
        ("mechanism", "outputs", "neurons", False),
        ("mechanism", "outputs", "answers", True),
        ("site", "activations", "neurons", False),
        ("site", "outputs", "neurons", False),
        ("site", "activations", "pca", True),
    ],
)
def test_a_shard_runs_the_network_on_its_own_data_alone(
    network, data, tmp_path, setting, target, kind, all_data
):
    """And on the first rows, where steps are chosen; a kind that is made from all data gets them."""
    question = Question(setting, target, "layers.0", 0.25, 8)
    whole = weigh(_seen(question, network, data)[0], [kind])[0]
    files = [tmp_path / f"{i}.tally" for i in range(4)]
    for i, path in enumerate(files):
        evidence, seen = _seen(question, network, data)
        tally(evidence, [kind], Tallies.begin(path, evidence, [kind], shard=Shard(i, 4)))
        ran = sorted((s.start, s.stop) for s in seen.ran)
        own = {(first, first + 1024) for first in range(2048 * i, 2048 * (i + 1), 1024)}
        assert _covered(ran) == _covered([(0, 8192)] if all_data else sorted({(0, 1024), *own}))
    evidence, seen = _seen(question, network, data)
    merged = weigh(evidence, [kind], tallies=Tallies.merged(files, evidence, [kind]))[0]
    assert merged.model_dump() == whole.model_dump()
    assert all_data or seen.ran == [slice(0, 1024)]


def _seen(question: Question, network: Network, data: Dataset) -> tuple[Evidence, Behaviour]:
    site = question.site if question.setting == "site" else None
    seen = Behaviour(network, data, site, question.target == "outputs")
    return Evidence(question, network, data, seen.activations, seen.outputs), seen


def _covered(stretches: list[tuple[int, int]]) -> set[int]:
    return {i for start, stop in stretches for i in range(start, stop, 1024)}
