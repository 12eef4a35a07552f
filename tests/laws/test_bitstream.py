"""Claimed bits are decodable bits: any explanation of a site, written, read back, and as long as stated."""

import struct
import zlib

import pytest
import torch
from assay.mdl import GridTarget, SiteProblem, score_site
from assay.mdl.audit import audit_site, bitstream
from assay.mdl.bitstream import decode
from assay.mdl.grid import GridError, quantise
from assay.mdl.streams import FLATTEST, STEEPEST, Discretised, Range, candidates
from assay.mdl.transmit import stream_code
from assay.mdl.wire import BitstreamError, Receiver, Sender
from hypothesis import given, settings
from hypothesis import strategies as st

from .strategies import LAWFUL, histograms
from .test_site import Drawn


def problem(rows: int, width: int, seed: int, delta: float) -> SiteProblem:
    x = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) * 3
    return SiteProblem(x, GridTarget(delta), delta)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 5),
    st.none() | st.integers(1, 9),
    st.integers(1, 60),
    st.integers(0, 10**6),
    st.floats(1e-2, 5),
)
def test_the_stream_restores_the_target(width, parts, rows, seed, delta):
    explanation, asked = Drawn(width, parts, seed), problem(rows, width, seed, delta)
    data = bitstream(explanation, asked, score_site(explanation, asked, precision=8))
    assert torch.equal(decode(data).target(), quantise(asked.x, delta))


def test_a_long_stream_is_as_long_as_the_ledger_says():
    explanation, asked = Drawn(16, 24, 1), problem(3000, 16, 1, 0.02)
    checks = audit_site(explanation, asked, score_site(explanation, asked, precision=8))
    assert checks["decodes"] is True
    assert abs(checks["bitstream_excess"]) < 0.005


@pytest.fixture(scope="module")
def stream() -> bytes:
    explanation, asked = Drawn(3, 4, 0), problem(40, 3, 0, 0.1)
    return bitstream(explanation, asked, score_site(explanation, asked, precision=8))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cut_streams_are_refused(stream, data):
    with pytest.raises(BitstreamError):
        decode(stream[: data.draw(st.integers(0, len(stream) - 1))]).target()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_streams_are_refused(stream, data):
    where = data.draw(st.integers(0, len(stream) - 1))
    spoilt = bytearray(stream)
    spoilt[where] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(BitstreamError):
        decode(bytes(spoilt)).target()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_forged_streams_are_refused_or_say_something_else(stream, data):
    """With a fitting checksum a changed stream may be another message; nothing but one clear error else."""
    body = bytearray(stream[12:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    forged = stream[:8] + struct.pack("<I", zlib.crc32(bytes(body))) + bytes(body)
    try:
        restored = decode(forged).target()
    except (BitstreamError, GridError):
        return
    assert restored.dtype == torch.int64


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
