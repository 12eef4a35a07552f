"""Claimed bits are decodable bits: any explanation of a site, written, read back, and as long as stated."""

import pytest
import torch
from assay.mdl import GridTarget, SiteProblem, score_site
from assay.mdl.audit import audit_site, bitstream
from assay.mdl.bitstream import decode
from assay.mdl.grid import quantise
from hypothesis import given, settings
from hypothesis import strategies as st

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
    with pytest.raises(ValueError, match="."):
        decode(stream[: data.draw(st.integers(0, len(stream) - 1))]).target()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_changed_streams_are_refused(stream, data):
    where = data.draw(st.integers(0, len(stream) - 1))
    spoilt = bytearray(stream)
    spoilt[where] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="."):
        decode(bytes(spoilt)).target()
