"""The receiver restores exactly the quantised target, for any dictionary, step, order and chunking."""

import numpy as np
import pytest
import torch
from assay.mdl import Code, Dictionary, DoesNotDecode, GridTarget
from assay.mdl.grid import GridError, quantise, restore
from assay.mdl.site import Channel, Knobs, chunks, tally_rows
from hypothesis import given
from hypothesis import strategies as st

from .strategies import LAWFUL


class Drawn:
    """A random dictionary with a random sparse encoder: nothing makes it fit the data."""

    kind = name = "drawn"
    open_ended = False

    def __init__(self, width: int, parts: int | None, seed: int) -> None:
        g = torch.Generator().manual_seed(seed)
        rows = None if parts is None else torch.randn(parts, width, generator=g) * 10 ** (seed % 5 - 2)
        self._dictionary = Dictionary(rows, torch.randn(width, generator=g))
        self._reads = torch.randn(width, self._dictionary.parts, generator=g)

    def dictionary(self) -> Dictionary:
        return self._dictionary

    def code(self, x: torch.Tensor) -> Code:
        return Code.dense(torch.relu(x @ self._reads))

    def recipe(self) -> dict[str, object]:
        return {}


CASES = st.tuples(
    st.integers(1, 6),  # width
    st.none() | st.integers(1, 9),  # parts
    st.integers(0, 40),  # rows
    st.integers(0, 10**6),  # seed
    st.floats(1e-3, 10),  # delta
    st.integers(2, 16),  # precision
    st.integers(-8, 12),  # half octaves
)


@LAWFUL
@given(CASES)
def test_the_receiver_restores_the_quantised_target(case):
    width, parts, rows, seed, delta, precision, half = case
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3
    channel = Channel(Drawn(width, parts, seed), delta, Knobs(precision, half))
    code, wanted = channel.integers(x), quantise(x, delta)
    residual = wanted - quantise(channel.predict(code), delta)
    assert (code.value != 0).all()
    assert torch.equal(quantise(channel.predict(code), channel.delta) + residual, wanted)


@LAWFUL
@given(CASES, st.randoms(use_true_random=False))
def test_predictions_do_not_depend_on_the_company_or_order_of_rows(case, random):
    width, parts, rows, seed, delta, precision, half = case
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3
    channel = Channel(Drawn(width, parts, seed), delta, Knobs(precision, half))
    code = channel.integers(x)
    together = channel.predict(code)
    dense = torch.zeros(rows, code.parts, dtype=torch.int64)
    dense[code.row, code.part] = code.value
    order = random.sample(range(rows), rows)
    assert torch.equal(channel.predict(Code.dense(dense[order])), together[order])
    alone = [channel.predict(Code.dense(dense[i : i + 1])) for i in range(rows)]
    assert torch.equal(torch.cat([*alone, together[:0]]), together)


@LAWFUL
@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 9), st.integers(0, 10**6))
def test_tallies_of_chunks_add_up_to_the_tally_of_all(rows, blocks, parts, seed):
    g = torch.Generator().manual_seed(seed)
    explanation = Drawn(3, parts, seed)
    x = torch.randn(rows, 3, generator=g)
    channel, target = Channel(explanation, 0.1, Knobs(8, 2)), GridTarget(0.1)
    # encode row by row, so that the encoder itself gives the same floats in any chunk
    code = {tuple(row.tolist()): explanation.code(row[None]) for row in x}
    explanation.code = lambda y: _stack([code[tuple(row.tolist())] for row in y], parts)
    whole = tally_rows(channel, x, slice(0, rows), target, None)
    cut = [w for _, w in chunks(rows, 1, blocks)]
    shards = [tally_rows(channel, x[w], w, target, None) for w in reversed(cut)]
    total = shards[0]
    for shard in shards[1:]:
        total = total + shard
    assert total.usage == whole.usage
    assert total.values == whole.values
    assert total.correction.residuals == whole.correction.residuals
    assert total.correction.lines() == whole.correction.lines()
    for field in ("rows", "square_error", "sums", "squares"):
        assert getattr(total.correction, field) == getattr(whole.correction, field)


def _stack(codes: list[Code], parts: int) -> Code:
    row = [torch.full_like(c.row, i) for i, c in enumerate(codes)]
    joined = (torch.cat(row), torch.cat([c.part for c in codes]), torch.cat([c.value for c in codes]))
    return Code(*joined, len(codes), parts)


@LAWFUL
@given(st.integers(0, 500), st.integers(1, 7), st.integers(1, 40))
def test_chunks_cover_every_row_once_and_never_cut_a_datum(data, positions, blocks):
    cut = list(chunks(data * positions, positions, blocks))
    assert [i for _, w in cut for i in range(w.start, w.stop)] == list(range(data * positions))
    assert all(w.start % positions == w.stop % positions == 0 for _, w in cut)
    assert [b for b, _ in cut] == sorted(b for b, _ in cut)


class Cheat(Drawn):
    """A drawn explanation whose code is spoiled on its way out."""

    def __init__(self, spoil) -> None:
        super().__init__(3, 4, 0)
        self.spoil = spoil

    def code(self, x: torch.Tensor) -> Code:
        return self.spoil(Code.dense(torch.relu(x @ self._reads) + 1))


def _with(code: Code, **changed) -> Code:
    fields = {name: getattr(code, name) for name in ("row", "part", "value", "rows", "parts")}
    return Code(**(fields | changed))


CHEATS = {
    "rows out of order": lambda c: _with(c, row=c.row.flip(0)),
    "too few rows": lambda c: _with(c, rows=c.rows - 1),
    "too many parts": lambda c: _with(c, parts=c.parts + 1),
    "a part twice in a row": lambda c: _with(c, part=torch.zeros_like(c.part)),
    "a part that does not exist": lambda c: _with(c, part=c.part + 1),
    "a negative part": lambda c: _with(c, part=c.part - 1),
    "a row that does not exist": lambda c: _with(c, row=c.row + 1),
    "fewer values than entries": lambda c: _with(c, value=c.value[:-1]),
}


@pytest.mark.parametrize("cheat", CHEATS.values(), ids=CHEATS.keys())
def test_a_code_that_says_what_the_message_cannot_is_refused(cheat):
    channel = Channel(Cheat(cheat), 0.1, Knobs(8, 2))
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))
    with pytest.raises(DoesNotDecode):
        tally_rows(channel, x, slice(0, 10), GridTarget(0.1), None)


def test_what_an_explanation_hides_after_sending_does_not_reach_the_receiver():
    """The dictionary is taken once; a later change of heart lengthens the residual, and decodes."""
    explanation = Drawn(3, 4, 0)
    channel = Channel(explanation, 0.1, Knobs(8, 2))
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    honest = tally_rows(channel, x, slice(0, 50), GridTarget(0.1), None)
    explanation._dictionary = Dictionary(torch.zeros(4, 3), torch.zeros(3))
    assert tally_rows(channel, x, slice(0, 50), GridTarget(0.1), None).correction.lines() == (
        honest.correction.lines()
    )


@LAWFUL
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_quantising_is_within_half_a_step(value, step):
    x = torch.tensor([value], dtype=torch.float64)
    q = quantise(x, step)
    assert abs(float(restore(q, step)) - value) <= step / 2 * (1 + 1e-9) + 1e-9
    assert torch.equal(quantise(restore(q, step), step), q)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantising_refuses_what_is_not_finite(bad):
    with pytest.raises(GridError, match="1 of 2 numbers are NaN or infinite"):
        quantise(torch.tensor([0.0, bad]), 0.1)


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan")])
def test_a_step_is_positive(step):
    with pytest.raises(GridError, match="step must be positive"):
        quantise(torch.zeros(1), step)


def test_a_step_too_fine_for_exact_integers_is_refused():
    with pytest.raises(GridError, match="too fine"):
        quantise(torch.tensor([1e10], dtype=torch.float64), 1e-7)
