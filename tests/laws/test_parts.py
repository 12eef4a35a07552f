"""Parts through the wire: whatever is sent arrives, at the length that the ledger states."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from assay.mdl import Parts, PartTensor
from assay.mdl.low_rank import LowRank
from assay.mdl.part_codes import Masked, Written
from assay.mdl.part_tensors import Combination, PartError, Reference, Through
from assay.mdl.parts import PartWay, send_parts
from assay.mdl.structure import Frame, price_mask
from assay.mdl.transmit_parts import Told, parts_told, restored, tensor_told
from assay.mdl.transmit_structure import mask as mask_told
from assay.mdl.wire import BitstreamError, Receiver, Sender, subsets
from hypothesis import given
from hypothesis import strategies as st

from .strategies import LAWFUL

CLOSE = 2e-4  # the wire makes probabilities add up to one, the ledger does not: it states a little more


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def masks(draw):
    """A mask [slices, …] with empty lines, whether one part owns all slices, what exists, what is sent."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=5)))
    slices, rng = draw(st.integers(1, 5)), np.random.default_rng(draw(st.integers(0, 10**6)))
    held = rng.random((slices, *shape)) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    for axis in range(len(shape) + 1):
        thinned = rng.random(held.shape[axis]) < draw(st.sampled_from([0.3, 1.0]))
        held &= thinned.reshape([-1 if a == axis else 1 for a in range(held.ndim)])
    exists = rng.random(shape) < 0.7 if draw(st.booleans()) else None
    held = held if exists is None else held & exists
    joined = slices == 1 or draw(st.booleans())
    sending = np.arange(slices) if joined else np.nonzero(rng.random(slices) < 0.7)[0]
    return held, Frame(slices, shape, joined, exists), sending


@LAWFUL
@given(masks())
def test_every_mask_arrives_at_its_length(drawn_mask):
    held, frame, sending = drawn_mask
    flat = held.reshape(len(held), -1)
    price = price_mask(flat, frame)
    sender = Sender()
    mask_told(sender, flat, price.structure, frame, sending)
    stated = price.header + price.bits[sending].sum()
    assert (1 - CLOSE) * stated - 0.1 < sender.bits < (1 + 1e-6) * stated + 1e-6
    receiver = Receiver(sender.words())
    arrived = mask_told(receiver, None, None, frame, sending)
    receiver.finish()
    assert np.array_equal(arrived[sending], flat[sending])
    assert not np.delete(arrived, sending, axis=0).any()


@st.composite
def rows_of_sets(draw):
    """Boolean rows and how wide each is, few and long or many and short."""
    rows, width = draw(st.sampled_from([(1, 3000), (3, 1500), (20, 30), (5, 1), (0, 4)]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    widths = rng.integers(0, width + 1, rows)
    inside = np.arange(width) < widths[:, None]
    return ((rng.random((rows, width)) < draw(st.floats(0, 1))) & inside).astype(np.int64), widths


@LAWFUL
@given(rows_of_sets())
def test_sets_arrive_at_the_logarithm_of_their_number(told):
    from assay.mdl.lengths import log2_binomial

    members, widths = told
    sender = Sender()
    subsets(sender, members, members.sum(1), widths)
    assert sender.bits == pytest.approx(
        float(log2_binomial(widths, members.sum(1)).sum()), rel=1e-5, abs=1e-3
    )
    receiver = Receiver(sender.words())
    arrived = subsets(receiver, None, members.sum(1), widths)
    receiver.finish()
    assert np.array_equal(arrived, members[:, : arrived.shape[1]])
    assert not members[:, arrived.shape[1] :].any()


@st.composite
def messages(draw):
    """Parts of all kinds, which of them are used, a precision."""
    seed, count = draw(st.integers(0, 10**6)), draw(st.integers(0, 4))
    tensors = []
    for index in range(draw(st.integers(1, 4))):
        everyone = draw(st.booleans()) and count > 0
        owner = torch.arange(count) if everyone else torch.tensor([draw(st.integers(0, count))])
        kind = draw(
            st.sampled_from(
                ["dense", "zeros", "masked", "allowed", "structure", "thin", "same", "turned", "through"]
            )
        )
        values = drawn(seed + index, len(owner), *draw(st.sampled_from([(), (7,), (9, 12), (2, 8, 10)])))
        tensors.append(tensor(f"t{index}", kind, values, owner, tensors, seed + index))
    used = np.array([draw(st.booleans()) for _ in range(count)], dtype=np.int64)
    return Parts(count, tuple(tensors)), used, draw(st.integers(2, 14))


def tensor(name, kind, values, owner, before, seed) -> PartTensor:
    some = drawn(seed + 1000, *values.shape) > 0.5
    if kind == "same" and before:
        return PartTensor(name, before[-1].values.clone(), before[-1].owner)
    if kind == "turned" and before and before[-1].values.ndim == 3:
        return PartTensor(name, before[-1].values.mT.contiguous(), before[-1].owner)
    if kind == "thin" and values.ndim >= 3:
        thin = values[..., :1] @ values[..., :1, :]
        return PartTensor(name, thin, owner)
    if kind == "through" and values.ndim == 2:
        rows = drawn(seed + 2000, 5, values.shape[1])
        codes = drawn(seed + 3000, len(values), 5) * (drawn(seed + 4000, len(values), 5) > 0.5)
        return PartTensor(name, codes @ rows + 0.01 * values, owner, through=Combination(codes, rows))
    if kind == "allowed":
        return PartTensor(name, values * some[:1], owner, allowed=some[0])
    extra = {"masked": {"mask": some}}.get(kind, {})
    return PartTensor(name, {"zeros": values * some, "structure": some}.get(kind, values), owner, **extra)


@LAWFUL
@given(messages())
def test_parts_arrive_at_their_length(message):
    parts, used, precision = message
    sent = send_parts(parts, precision)
    sender = Sender()
    parts_told(sender, parts, precision, used, sent)
    stated = sent.total(used) - sent.header
    assert 0.95 * stated - 2 < sender.bits < (1 + CLOSE) * stated + 0.1
    receiver = Receiver(sender.words())
    grids = parts_told(receiver, blank(parts), precision, used, None)
    receiver.finish()
    sending = np.append(used, 1)
    for name, value in restored(parts, grids).items():
        slices = torch.from_numpy(sending[next(t for t in parts.tensors if t.name == name).owners] > 0)
        assert torch.equal(value[slices], sent.restored[name][slices])
        assert not value[~slices].any()


def blank(parts: Parts) -> Parts:
    """What the receiver has: shapes, owners, what exists."""

    def zeros(through: Combination | None) -> Combination | None:
        return through and Combination(torch.zeros_like(through.codes), torch.zeros_like(through.rows))

    tensors = (
        PartTensor(t.name, torch.zeros_like(t.values), t.owner, None, t.allowed, zeros(t.through))
        for t in parts.tensors
    )
    return Parts(parts.count, tuple(tensors))


@LAWFUL
@given(messages())
def test_every_way_can_be_told_at_its_price(message):
    parts, used, precision = message
    sent = send_parts(parts, precision)
    sending = np.append(used, 1)
    for index, ways in enumerate(sent.ways):
        for way in ways:
            sender = Sender()
            told = Told(way, sent.grids[index])
            tensor_told(sender, parts, index, precision, sending, told, sent.grids[:index])
            stated = way.total(sending.astype(float))
            assert 0.95 * stated - 2 < sender.bits < (1 + CLOSE) * stated + 0.1


def chosen(parts: Parts, precision: int = 8) -> list[PartWay]:
    return send_parts(parts, precision).chosen(np.ones(parts.count, dtype=np.int64))


def test_the_kinds_drawn_take_every_way():
    thin, wide = drawn(0, 1, 40, 2) @ drawn(1, 1, 2, 50), drawn(2, 1, 40, 50)
    owner = torch.tensor([0])
    values = (thin, wide * (wide > 2), wide, wide, wide.mT.contiguous())
    ways = chosen(Parts(0, tuple(PartTensor(str(i), v, owner) for i, v in enumerate(values))))
    kinds = [type(way.telling) for way in ways]
    assert kinds[:2] == [LowRank, Masked]
    assert kinds[3:] == [Reference, Reference]


def combinations(slices: int, noise: float) -> PartTensor:
    """Slices that are sums of two or three of twelve rows, nearly."""
    rows, codes = drawn(5, 12, 40), drawn(6, slices, 12)
    codes = codes * (drawn(7, slices, 12) > 0.9)
    values = codes @ rows + noise * drawn(8, slices, 40)
    return PartTensor("w", values, torch.arange(slices), through=Combination(codes, rows))


def test_rows_made_of_few_are_told_through_them():
    several = combinations(300, 0.01)
    way = chosen(Parts(300, (several,)))[0]
    assert isinstance(way.telling, Through)
    plain = chosen(Parts(300, (replace(several, through=None),)))[0]
    everyone = np.ones(301)
    assert way.total(everyone) < 0.6 * plain.total(everyone)
    alone = combinations(300, 10.0)
    assert isinstance(chosen(Parts(300, (alone,)))[0].telling, Written)


def test_prices_of_slices_through_a_dictionary_add_up():
    """The rows are paid once; each part pays its code and what is left of it."""
    sent = send_parts(Parts(300, (combinations(300, 0.01),)), 8).settled()
    way, tensor = sent.ways[0][0], combinations(300, 0.01)
    used = (np.arange(300) % 7 == 2).astype(np.int64)
    sender = Sender()
    blank_one = blank(Parts(300, (tensor,)))
    parts_told(sender, blank_one, 8, used, sent)
    stated = way.header + way.bits[-1] + math.fsum(way.bits[:-1][used == 1])
    assert 0.98 * stated < sender.bits < (1 + CLOSE) * stated
    receiver = Receiver(sender.words())
    grids = parts_told(receiver, blank_one, 8, used, None)
    receiver.finish()
    assert np.array_equal(grids[0].integers[used == 1], sent.grids[0].integers[used == 1])


@pytest.mark.parametrize(
    "wrong",
    [{"codes": drawn(1, 3, 2)}, {"rows": drawn(1, 4, 9)}, {"mask": torch.ones(4, 5, dtype=torch.bool)}],
)
def test_a_dictionary_that_does_not_fit_is_refused(wrong):
    through = Combination(wrong.get("codes", drawn(1, 4, 2)), wrong.get("rows", drawn(1, 2, 5)))
    with pytest.raises(PartError, match=r"^w: "):
        PartTensor("w", drawn(0, 4, 5), torch.arange(4), wrong.get("mask"), None, through)


@LAWFUL
@given(st.data())
def test_damaged_parts_are_refused_or_say_something_else(data):
    parts = Parts(0, (PartTensor("w", drawn(3, 1, 12, 2) @ drawn(4, 1, 2, 14), torch.tensor([0])),))
    sender = Sender()
    nothing = np.zeros(0, dtype=np.int64)
    parts_told(sender, parts, 8, nothing, send_parts(parts, 8))
    words = sender.words()
    words[data.draw(st.integers(0, len(words) - 1))] ^= 1 << data.draw(st.integers(0, 31))
    try:
        grids = parts_told(Receiver(words), parts, 8, nothing, None)
    except (BitstreamError, ValueError, MemoryError, OverflowError):
        return
    assert grids[0].integers.shape == (1, 168)
