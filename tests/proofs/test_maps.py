"""Compressed maps are the same maps: entries, programs, verdicts and certificates do not change."""

import numpy as np
import pytest
import torch
from assay.models import Network
from assay.proofs import claim, maps, verify
from assay.proofs.lowering import lower
from assay.proofs.program import Free, Program
from assay.proofs.translation import add_network
from hypothesis import given
from hypothesis import strategies as st
from torch import nn


@pytest.fixture
def everywhere(monkeypatch):
    """Every map is compressed, however small and full it is."""
    monkeypatch.setattr(maps, "LARGE", -1)
    monkeypatch.setattr(maps, "FULL", 2)


class Residual(nn.Module):
    """Two convolutions, the second beside what it reads, means of windows, and a readout."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.pool, self.out = nn.AvgPool2d(size // 2), nn.Linear(4 * channels, 2)

    def forward(self, x):
        """Logits of images."""
        y = self.first(x).relu()
        return self.out(self.pool((y + self.second(y)).relu()).flatten(1))


def image_network(channels: int, size: int) -> Network:
    """A residual network of images, drawn at random."""
    torch.manual_seed(0)
    return Network("image", Residual(channels, size), "regression", "real", (1, size, size))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-3, 3)), max_size=12))
def test_both_forms_hold_the_same_entries(drawn):
    distinct = {(i, j): v for i, j, v in drawn}
    rows, columns = (np.array([at[k] for at in distinct], dtype=np.int64) for k in (0, 1))
    values = np.array([*distinct.values()], dtype=np.float64)
    plain = maps.placed((4, 5), rows, columns, values)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(maps, "LARGE", -1)
        patched.setattr(maps, "FULL", 2)
        packed = maps.placed((4, 5), rows, columns, values)
    assert isinstance(plain, np.ndarray)
    assert not isinstance(packed, np.ndarray)
    assert np.array_equal(maps.dense(packed), plain)
    assert np.array_equal(maps.read_by(packed), maps.read_by(plain))
    found = [sorted(zip(*map(np.ndarray.tolist, maps.entries(m)), strict=True)) for m in (plain, packed)]
    assert found[0] == found[1] == sorted((i, j, v) for (i, j), v in distinct.items() if v)


def program_of(network: Network, rounding: bool) -> Program:
    """The network's program."""
    program = Program([Free(int(np.prod(network.in_shape)))])
    add_network(program, lower(network.module, network.in_shape, rounding=rounding), 0, rounding)
    return program


@pytest.mark.parametrize("rounding", [False, True])
def test_programs_are_the_same(everywhere, rounding):
    network = image_network(2, 4)
    packed = program_of(network, rounding)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(maps, "LARGE", 1 << 16)
        plain = program_of(network, rounding)
    assert len(packed.steps) == len(plain.steps)
    for one, other in zip(packed.steps, plain.steps, strict=True):
        for (a, left), (b, right) in zip(*(getattr(s, "terms", ()) for s in (one, other)), strict=True):
            assert a == b
            assert np.array_equal(maps.dense(left), maps.dense(right))
        assert getattr(one, "depth", 0) == getattr(other, "depth", 0)
    bits = [True] * 16
    for left, right in zip(packed.whole(bits), plain.whole(bits), strict=True):
        assert np.array_equal(left, right)


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_verdicts_are_the_same(everywhere, semantics):
    network = image_network(2, 4)
    scope = {"x[0..15]": "real 0.4..0.6"}
    claims = [claim(shown, scope, semantics=semantics) for shown in ("f(x)[0] < 2", "f(x)[0] > f(x)[1] + 1")]
    outcomes = verify(claims, networks={"f": network}, budget_s=20)
    assert [outcome.status for outcome in outcomes] == ["proved", "refuted"]
    assert all(outcome.verdict.certificate for outcome in outcomes)


@pytest.mark.slow
def test_maps_of_many_zeros_are_proved_and_refuted():
    """32 x 32 images in 12 channels: written out, the second convolution would take 1.2 GB."""
    network = image_network(12, 32)
    program = program_of(network, True)
    held = [m.shape for step in program.steps for _, m in getattr(step, "terms", ())]
    assert max(rows * columns for rows, columns in held) == 12288**2
    assert program.multiplications() < 2**22
    value = network.module(torch.full((1, 1, 32, 32), 0.5))[0, 0].item()
    claims = [
        claim(f"abs(f(x)[0] - {value:.6f}) < {room}", {"x[0..1023]": "real 0.5..0.5005"}, semantics="float32")
        for room in (0.01, 1e-5)
    ]
    outcomes = verify(claims, networks={"f": network}, budget_s=60)
    assert [outcome.status for outcome in outcomes] == ["proved", "refuted"]
    assert all(outcome.verdict.certificate for outcome in outcomes)
