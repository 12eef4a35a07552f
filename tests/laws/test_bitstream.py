"""Claimed bits are decodable bits: any explanation of a site, written, read back, and as long as stated."""

import math
import struct
import zlib

import numpy as np
import pytest
import torch
from assay.mdl import AnswerTarget, CategoricalTarget, GridTarget, SiteProblem, score_site
from assay.mdl import wire as on
from assay.mdl.audit import audit_site, predictor, sent_site
from assay.mdl.bitstream import Outputs, decode, encode, framing_bits, telling
from assay.mdl.container import HEADER, SITE, note_bits, packed
from assay.mdl.grid import quantise
from assay.mdl.site import Channel, Knobs, tally_rows
from assay.mdl.site_score import _site_lines
from assay.mdl.streams import FLATTEST, STEEPEST, Adaptive, Discretised, Range, Raw, candidates
from assay.mdl.support import shortest_support
from assay.mdl.tally import Histogram
from assay.mdl.transmit import FAMILIES, scrambled, stream, stream_code
from assay.mdl.twin import Twin
from assay.mdl.wire import BitstreamError, Receiver, Sender
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .strategies import LAWFUL, histograms
from .test_site import Drawn

DRAWN = st.tuples(
    st.integers(1, 5),  # width
    st.none() | st.integers(1, 7),  # parts
    st.integers(1, 25),  # rows
    st.integers(0, 10**6),  # seed
    st.floats(1e-2, 5),  # delta
    st.integers(2, 12),  # precision
    st.integers(-6, 8),  # half octaves of the step of the values
)
MANY = settings(max_examples=350, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def problem(rows: int, width: int, seed: int, delta: float) -> SiteProblem:
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3
    return SiteProblem(x, GridTarget(delta), delta)


def told_at(knobs: Knobs, explanation: Drawn, asked: SiteProblem, outputs: Outputs | None):
    """The bytes and the message at given steps, and the ledger's lines, without the search for steps."""
    channel, every = Channel(explanation, asked.delta, knobs), slice(0, len(asked.x))
    tally = tally_rows(channel, asked.x, every, asked.target, asked.downstream)
    told = telling(channel, asked.x, [every], shortest_support(tally.usage), outputs)
    return *encode(told), _site_lines(channel, tally)


def payload(data: bytes, message) -> float:
    return 8 * len(data) - framing_bits(message) - note_bits(data)


@MANY
@given(DRAWN)
def test_the_stream_restores_the_activations(case):
    width, parts, rows, seed, delta, precision, half = case
    asked = problem(rows, width, seed, delta)
    data, message, lines = told_at(Knobs(precision, half), Drawn(width, parts, seed), asked, None)
    assert torch.equal(decode(data).restored, quantise(asked.x, delta))
    stated = math.fsum(line.bits for line in lines)
    assert payload(data, message) == pytest.approx(stated, rel=0.03, abs=100)


def outputs_problem(rows: int, width: int, seed: int, delta: float, outcomes: int, kind: str) -> SiteProblem:
    """A random network after the site; a classifier denies some outcomes here and there."""
    g = torch.Generator().manual_seed(seed)
    x, W = torch.randn(rows, width, generator=g) * 3, torch.randn(width, outcomes, generator=g)
    never = torch.rand(rows, outcomes, generator=g) < 0.05
    never[:, 0] = False

    def after(told: torch.Tensor, where: slice) -> tuple[torch.Tensor, torch.Tensor]:
        made, own = told.to(W) @ W, x[where] @ W
        if kind == "grid":
            return made, own
        return made.clamp(-300, 300).masked_fill(never[where], -math.inf), own

    target = {"grid": GridTarget(delta), "outcomes": CategoricalTarget(), "answers": AnswerTarget()}[kind]
    return SiteProblem(x, target, delta, 1, after)


@MANY
@given(DRAWN, st.integers(1, 9), st.sampled_from(["grid", "outcomes", "answers"]))
def test_the_stream_restores_the_outputs_of_the_network_after_the_site(case, outcomes, kind):
    width, parts, rows, seed, delta, precision, half = case
    asked = outputs_problem(rows, width, seed, delta, outcomes, kind)
    own = asked.downstream(asked.x, slice(0, rows))[1]
    predict = predictor(asked)
    outputs = Outputs(asked.target, predict, own, seed)
    data, message, lines = told_at(Knobs(precision, half), Drawn(width, parts, seed), asked, outputs)
    assert torch.equal(decode(data, predict).restored, message.restored)
    stated = math.fsum(line.bits for line in lines)
    if kind == "answers":
        assert torch.equal(message.restored, own.argmax(-1))
    if kind == "grid":
        assert torch.equal(message.restored, quantise(own, delta))
    if kind == "outcomes":
        twin = Twin.of(predict(message.prediction()), own, message.restored, seed)
        assert lines[-1].bits == pytest.approx(twin.kl + twin.escapes, abs=0.01)
        stated += twin.bits - lines[-1].bits
    assert payload(data, message) == pytest.approx(stated, rel=0.03, abs=100)


def test_a_long_stream_is_as_long_as_the_ledger_says():
    explanation, asked = Drawn(16, 24, 1), problem(3000, 16, 1, 0.02)
    checks = audit_site(explanation, asked, score_site(explanation, asked, precision=8))
    assert checks["decodes"] is True
    assert abs(checks["bitstream_excess"]) < 0.005


@pytest.fixture(scope="module")
def written() -> bytes:
    explanation, asked = Drawn(3, 4, 0), problem(40, 3, 0, 0.1)
    return sent_site(explanation, asked, score_site(explanation, asked, precision=8)).data


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cut_streams_are_refused(written, data):
    with pytest.raises(BitstreamError):
        decode(written[: data.draw(st.integers(0, len(written) - 1))])


def test_every_changed_byte_is_refused(written):
    for where in range(len(written)):
        for bit in range(8):
            spoilt = bytearray(written)
            spoilt[where] ^= 1 << bit
            with pytest.raises(BitstreamError):
                decode(bytes(spoilt))


def forged(whole: bytes, body: bytes, seal: int | None = None) -> bytes:
    """The stream with another body and a fitting checksum, and if wanted another seal."""
    own = struct.unpack_from("<I", whole, HEADER.size - 8)[0]
    rest = struct.pack("<II", own if seal is None else seal, 0) + body
    return whole[:8] + struct.pack("<I", zlib.crc32(rest)) + rest


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_forged_streams_are_refused_or_tell_the_same_target(written, data):
    """With a fitting checksum a changed stream may be another message, but about the target of the seal."""
    body = bytearray(written[HEADER.size :])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        told = decode(forged(written, bytes(body)), most_cells=2**16)
    except BitstreamError:
        return
    assert torch.equal(told.restored, decode(written).restored)


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=4, max_size=200))
def test_noise_with_a_fitting_checksum_is_refused(written, noise):
    with pytest.raises(BitstreamError):
        decode(forged(written, noise), most_cells=2**16)


def test_an_unknown_version_or_setting_is_refused(written):
    for place, wrong, words in ((5, 1, "version 1; this reads 3"), (5, 9, "version 9"), (6, 7, "setting")):
        other = written[:place] + bytes([wrong]) + written[place + 1 :]
        with pytest.raises(BitstreamError, match=words):
            decode(other)
    with pytest.raises(BitstreamError, match="not an assay stream"):
        decode(b"PK\x03\x04" + written)


def huge(rows: int, width: int, parts: int) -> bytes:
    """A stream that begins with these sizes."""
    sender = Sender()
    on.natural(sender, np.array([rows, width, parts, 0]) + 1, 4)
    return packed(SITE, sender, torch.zeros(1, dtype=torch.int64))


@pytest.mark.parametrize("sizes", [(2**50, 3, 3), (1, 2**40, 1), (1, 1, 2**25), (2**20, 2**20, 1)])
def test_huge_sizes_are_refused_at_once(sizes):
    with pytest.raises(BitstreamError, match="more than this reads"):
        decode(huge(*sizes))


def told(code):
    """A code's description, written and read back."""
    sender = Sender()
    stream_code(sender, code)
    receiver = Receiver(sender.words())
    back = stream_code(receiver, None)
    receiver.finish()
    return back


@pytest.mark.parametrize("family", ["laplace", "gaussian"])
@pytest.mark.parametrize("scale", [STEEPEST, 0, FLATTEST])
def test_every_scale_can_be_told(family, scale):
    code = Discretised(family, scale, 255, Range(-3, 9))
    assert told(code) == code


@LAWFUL
@given(histograms(min_size=1))
def test_every_code_that_may_be_chosen_can_be_told(tally):
    for code in candidates(tally):
        back = told(code)
        assert (back.name, back.header, back.bits(tally)) == (code.name, code.header, code.bits(tally))


@pytest.mark.parametrize("size", [2**24 - 1, 2**24, 2**24 + 1, 2**31, 2**45 + 12345])
def test_integers_of_a_range_wider_than_the_coder_travel_in_digits(size):
    code = Raw(Range(-5, size - 6))
    symbols = np.array([-5, 0, size // 3, size - 6, size - 7])
    sender = Sender()
    stream(sender, symbols, 5, code)
    assert np.array_equal(stream(Receiver(sender.words()), None, 5, code), symbols)
    assert sender.bits == pytest.approx(5 * math.log2(size), rel=0.01)


def test_an_order_is_an_order():
    for count in (0, 1, 2, 17, 1000):
        assert sorted(scrambled(count).tolist()) == list(range(count))
    assert scrambled(8).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]


def test_data_that_drift_are_as_long_as_stated_too():
    symbols = np.repeat(np.arange(60), 40)
    code = Adaptive(Range(0, 59))
    sender = Sender()
    stream(sender, symbols, symbols.size, code)
    assert np.array_equal(stream(Receiver(sender.words()), None, symbols.size, code), symbols)
    assert sender.bits == pytest.approx(code.bits(Histogram.of(symbols)), rel=0.002)


def test_a_table_over_more_integers_than_any_sender_would_use_is_refused():
    sender = Sender()
    sender.uniform(np.array([FAMILIES.index("table")]), len(FAMILIES), 1)
    on.integer(sender, np.array([0]), 1)
    on.natural(sender, np.array([2**40]), 1)
    with pytest.raises(BitstreamError, match="a range of"):
        stream_code(Receiver(sender.words()), None)
