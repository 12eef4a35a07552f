"""Checks that come with the numbers: the real bitstream, received again, and a stranger's upper bound."""

from __future__ import annotations

import lzma
import math

import numpy as np
import torch

from .bitstream import container_bits, decode, encode, message
from .grid import quantise
from .message import DoesNotDecode, SiteExplanation
from .score import Score
from .site import Channel, Knobs, chunks
from .site_score import SiteProblem
from .support import shortest_support
from .tally import Ints

Checks = dict[str, float | int | str | bool]


def channel_of(explanation: SiteExplanation, problem: SiteProblem, score: Score) -> Channel:
    """The channel that a score was made with."""
    precision, step = int(score.knobs["precision"]), float(score.knobs["value_step"])
    half_octaves = round(2 * math.log2(step / problem.delta))
    return Channel(explanation, problem.delta, Knobs(precision, half_octaves, score.octaves)).to(
        problem.x.device
    )


def bitstream(explanation: SiteExplanation, problem: SiteProblem, score: Score) -> bytes:
    """The real message whose length the score states."""
    channel = channel_of(explanation, problem, score)
    rows = [where for _, where in chunks(len(problem.x), problem.positions, 1)]
    return encode(message(channel, problem.x, rows, shortest_support(score.usage)), channel.sent)


def audit_site(explanation: SiteExplanation, problem: SiteProblem, score: Score) -> Checks:
    """Write the bitstream, read it back, and compare its length with the ledger's.

    ``bitstream_excess`` is (file − container) / ledger − 1. The stranger's lines are general compressors on
    the same integers. Raises :class:`DoesNotDecode` where the integers that come back are not the target's.
    """
    data = bitstream(explanation, problem, score)
    received = decode(data).target()
    wanted = quantise(problem.x, problem.delta).cpu()
    if not torch.equal(received, wanted):
        raise DoesNotDecode(f"{explanation.name}: the bitstream restores something else")
    parts = explanation.dictionary().parts
    container = container_bits(len(wanted), wanted.shape[1], parts, int(score.knobs["precision"]))
    return {
        "decodes": True,
        "bitstream_bits": 8 * len(data),
        "container_bits": container,
        "bitstream_excess": (8 * len(data) - container) / score.ledger.total - 1,
        **strangers(wanted.numpy()),
    }


def strangers(integers: Ints) -> Checks:
    """What general-purpose compressors make of the target's integers [rows, d], in the narrowest type."""
    import zstandard

    narrow = integers.astype(np.min_scalar_type(-int(np.abs(integers).max(initial=0)) - 1))
    raw = np.ascontiguousarray(narrow.T).tobytes()
    return {
        "xz_bits": 8 * len(lzma.compress(raw, preset=6)),
        "zstd_bits": 8 * len(zstandard.ZstdCompressor(level=19).compress(raw)),
    }
