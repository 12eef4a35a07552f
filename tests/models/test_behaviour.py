"""A network runs on the data that somebody looks at, and every row is what a run over all data gives."""

from __future__ import annotations

import pytest
import torch
from assay.models import (
    Behaviour,
    Dataset,
    InputError,
    Network,
    NotFinite,
    Scope,
    collect,
    perceptron,
    stream,
)

SITE = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def many() -> tuple[Network, Dataset]:
    """Several micro-batches, the last one not full."""
    torch.manual_seed(0)
    network = Network("net", perceptron([6, 40, 3]), "regression", "real", (6,))
    inputs = torch.randn(3333, 6, generator=torch.Generator().manual_seed(1))
    return network, Dataset("d", inputs, None, "sample", Scope("", ""))


@pytest.mark.parametrize("batch_size", ["auto", 1, 1500])
def test_stretches_in_any_order_are_the_rows_of_a_whole_run(many, batch_size):
    network, data = many
    whole = collect(network, data, "layers.0", device="cpu").values
    outputs = torch.cat([b.outputs for b in stream(network, data, (), "cpu")])
    seen = Behaviour(network, data, "layers.0", batch_size=batch_size)
    assert seen.activations is not None
    assert seen.outputs is not None
    assert seen.outputs.shape == outputs.shape
    for part in (
        slice(3000, 3333),
        slice(1020, 1030),
        slice(5, 5),
        slice(0, 2100),
        slice(None),
        slice(-4, None),
    ):
        assert torch.equal(seen.activations.rows[part], whole[part])
        assert torch.equal(seen.outputs[part], outputs[part])
    assert torch.equal(seen.activations.values, whole)
    assert torch.equal(seen.activations.take(7).values, whole[:7])
    assert len(seen.activations) == 3333


def test_only_what_is_looked_at_is_run_and_never_twice(many):
    network, data = many
    seen = Behaviour(network, data, "layers.0")
    assert seen.ran == [slice(0, 1024)]  # a micro-batch
    assert seen.activations is not None
    assert seen.outputs is not None
    _ = seen.activations.rows[3072:3100], seen.outputs[3072:3333], seen.outputs[:10]
    assert seen.ran == [slice(0, 1024), slice(3072, 3333)]
    _ = seen.outputs[:], seen.outputs[:], seen.activations.values
    assert seen.ran == [slice(0, 1024), slice(3072, 3333), slice(1024, 3072)]


def test_sequences_give_a_row_for_each_position(transformer, tokens):
    whole = collect(transformer, tokens, SITE, device="cpu")
    seen = Behaviour(transformer, tokens, SITE, with_outputs=False).activations
    assert seen is not None
    assert (seen.positions, seen.network, seen.dataset) == (whole.positions, whole.network, whole.dataset)
    assert torch.equal(seen.rows[12:36], whole.values[12:36])
    assert torch.equal(seen.take(3).values, whole.values[:36])


def test_faults_are_told_where_the_rows_are_looked_at(many):
    network, data = many
    bad = data.inputs.clone()
    bad[2000] = 3e38
    broken = network.with_weights({"layers.0.weight": torch.full((40, 6), 10.0)})
    seen = Behaviour(broken, Dataset("d", bad, None, "sample", Scope("", "")), "layers.0").activations
    assert seen is not None
    with pytest.raises(NotFinite, match=r"'layers.0', data 1024..2047: 40 of"):
        _ = seen.rows[1999:2002]
    with pytest.raises(InputError, match="stretches"):
        _ = seen.rows[::2]
    with pytest.raises(InputError, match="is empty"):
        Behaviour(network, data.take(0))
    with pytest.raises(InputError, match="starts at 5, expected a multiple of 1024"):
        next(stream(network, data, (), "cpu", data=slice(5, 9)))
