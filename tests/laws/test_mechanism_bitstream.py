"""Any mechanism, told by bytes: outputs on a grid, outcomes, answers; with and without coefficients."""

import math
from types import SimpleNamespace

import pytest
import torch
from assay.mdl import (
    AnswerTarget,
    CategoricalTarget,
    GridTarget,
    MechanismProblem,
    Parts,
    PartTensor,
    one_part,
)
from assay.mdl.container import note_bits
from assay.mdl.grid import quantise
from assay.mdl.mechanism_score import _Sending
from assay.mdl.mechanism_stream import decode_mechanism, encode_mechanism, mechanism_framing_bits
from assay.mdl.parts import send_parts
from assay.mdl.twin import Twin
from assay.mdl.wire import BitstreamError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


class Rows:
    """y = Σ of the active rows of W times their inputs; some entries of W do not exist."""

    kind, name, donor, open_ended = "drawn", "rows", "zero", False

    def __init__(self, W: torch.Tensor, sparse: bool) -> None:
        self.W = W
        self.mask = (W.abs() > 0.7) if sparse else None

    def parts(self) -> Parts:
        owner = torch.arange(len(self.W))
        bias = one_part("bias", self.W.mean(0), len(self.W))
        return Parts(len(self.W), (PartTensor("W", self.W, owner, self.mask), bias))

    def active(self, restored, x):
        return (x > 0.5)[:, None]

    def predict(self, restored, x, active):
        return (x * active[:, 0]) @ restored["W"] + restored["bias"][0]

    def recipe(self):
        return {}


class Coefficients(Rows):
    """The same, told how strongly each row acts; the inputs are not used."""

    def coefficients(self, x):
        return (x * (x > 0.5))[:, None]

    def predict_from(self, restored, x, coefficients):
        return coefficients[:, 0] @ restored["W"] + restored["bias"][0]


CASES = st.tuples(
    st.integers(1, 20),  # data
    st.integers(1, 6),  # parts
    st.integers(1, 6),  # outputs
    st.integers(0, 10**6),  # seed
    st.integers(2, 12),  # precision
    st.booleans(),  # entries that do not exist
    st.none() | st.integers(-8, 4),  # half octaves of the coefficients
)
KINDS = st.sampled_from(["grid", "outcomes", "answers"])


def drawn(case, kind):
    data, parts, width, seed, precision, sparse, half = case
    g = torch.Generator().manual_seed(seed)
    W, x = (
        torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((parts, width), (data, parts))
    )
    explanation = Rows(W, sparse) if half is None else Coefficients(W, sparse)
    target = {"grid": GridTarget(0.1), "outcomes": CategoricalTarget(), "answers": AnswerTarget()}[kind]
    problem = MechanismProblem(x, x @ W, target)
    sending = _Sending(explanation, problem, send_parts(explanation.parts(), precision), half, 64)
    tally = sending.tally(slice(0, data))
    knobs = {"precision": precision} | ({} if half is None else {"value_step": 2.0 ** (half / 2)})
    return explanation, problem, SimpleNamespace(knobs=knobs, usage=tally.rows), sending.lines(tally)


class Blank:
    """A receiver's copy: names, shapes and the way to predict."""

    def __new__(cls, explanation):
        empty = type(explanation)(torch.zeros_like(explanation.W), explanation.mask is not None)
        empty.mask = None if explanation.mask is None else torch.zeros_like(explanation.mask)
        return empty


@settings(max_examples=350, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CASES, KINDS)
def test_the_stream_restores_the_outputs_and_is_as_long_as_stated(case, kind):
    explanation, problem, score, lines = drawn(case, kind)
    data, message = encode_mechanism(explanation, problem, score, seed=case[3])
    received = decode_mechanism(data, [Blank(explanation)], problem.inputs)
    assert torch.equal(received.restored, message.restored)
    stated = math.fsum(line.bits for line in lines)
    if kind == "answers":
        assert torch.equal(received.restored, problem.outputs.argmax(-1))
    if kind == "grid":
        assert torch.equal(received.restored, quantise(problem.outputs, 0.1))
    if kind == "outcomes":
        twin = Twin.of(message.predicted, problem.outputs, message.restored, case[3])
        stated += twin.bits - lines[-1].bits
    payload = 8 * len(data) - mechanism_framing_bits(message) - note_bits(data)
    assert payload == pytest.approx(stated, rel=0.03, abs=100)


CASE = (20, 4, 3, 1, 8, False, -4)


@pytest.mark.parametrize("kind", ["grid", "outcomes", "answers"])
def test_every_changed_byte_and_every_truncation_is_refused(kind):
    explanation, problem, score, _ = drawn(CASE, kind)
    data, _ = encode_mechanism(explanation, problem, score)
    for i in range(len(data)):
        for spoilt in (data[:i], data[:i] + bytes([data[i] ^ 255]) + data[i + 1 :]):
            with pytest.raises(BitstreamError):
                decode_mechanism(spoilt, [Blank(explanation)], problem.inputs)


def test_other_inputs_are_seen():
    for kind in ("grid", "outcomes", "answers"):
        explanation, problem, score, _ = drawn((*CASE[:-1], None), kind)
        data, _ = encode_mechanism(explanation, problem, score)
        with pytest.raises(BitstreamError):
            decode_mechanism(data, [Blank(explanation)], -problem.inputs)


def test_of_several_ways_the_message_says_which():
    explanation, problem, score, _ = drawn(CASE, "grid")
    ways = [Rows(explanation.W, True), explanation, Rows(explanation.W, False)]
    data, message = encode_mechanism(explanation, problem, score, ways)
    received = decode_mechanism(data, [Blank(way) for way in ways], problem.inputs)
    assert torch.equal(received.restored, message.restored)
