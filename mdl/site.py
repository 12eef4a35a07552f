"""The site setting: how shortly can the activations at a site be told?

Message: the dictionary; per row the active set and its integer coefficients; the correction. The receiver
knows nothing (target ``activations``) or the network after the site (target ``outputs``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .grid import EXACT, GridError, quantise
from .joint import Together
from .keyed import keyed
from .lengths import signed_delta
from .message import Code, DoesNotDecode, SiteExplanation, check_code
from .part_tensors import Parts, PartTensor, one_part
from .parts import SentParts, restored, send_parts
from .streams import shortest
from .tally import Histogram, Usage
from .target import CorrectionTally, ResidualTally, Target, residuals

SHORT = 10  # bits of a dictionary entry that leave room for coefficients below 2²⁴
EXACT_SINGLE = 2.0**24
CHUNK = 2048  # rows in one canonical pass


@dataclass(frozen=True)
class Knobs:
    """What the sender may choose: bits of a dictionary entry, and the value step 2^(half_octaves/2) delta.

    ``octaves`` [parts] >= 0, where they are not all alike: part c has the step 2^octaves[c] times that.
    """

    precision: int
    half_octaves: int
    octaves: tuple[int, ...] = ()


def steps_told(knobs: Knobs) -> float:
    """Bits that tell the step of values, and the doublings of each part's where they are not alike."""
    base = float(signed_delta(knobs.half_octaves))
    if not knobs.octaves:
        return base
    tally = Histogram.of(np.array(knobs.octaves))
    code = shortest(tally)
    return base + code.header + code.bits(tally)


class Channel:
    """A dictionary on its grid: both ends of the wire.

    Rows are sent at unit norm (their norms go into the coefficients), so that one step does equal damage in
    every part. x̂ = scale · Σ_c v_c 2^octaves_c W_c + bias with integers v, W: the sum is exact in float64.
    """

    def __init__(
        self, explanation: SiteExplanation, delta: float, knobs: Knobs, thorough: bool = True
    ) -> None:
        self.explanation, self.delta, self.knobs = explanation, delta, knobs
        dictionary = explanation.dictionary()
        self.parts, self.width = dictionary.parts, dictionary.width
        self.step = delta * 2.0 ** (knobs.half_octaves / 2)
        self.octaves = torch.tensor(knobs.octaves, dtype=torch.int64) if knobs.octaves else None
        self.norm = torch.ones(self.parts, dtype=torch.float64)
        tensors = [one_part("bias", dictionary.bias.double().cpu(), self.parts)]
        if dictionary.rows is not None:
            rows = dictionary.rows.cpu()
            norm = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
            self.norm = torch.where(norm > 0, norm, torch.ones_like(norm))
            even = rows / self.norm.to(rows.dtype)[:, None]
            through = None if dictionary.through is None else dictionary.through.scaled(1 / self.norm)
            tensors.append(PartTensor("rows", even, torch.arange(self.parts), through=through))
        self.second = tensors[-1].second
        self.sent: SentParts = send_parts(Parts(self.parts, tuple(tensors)), knobs.precision, thorough)
        self.bias = restored(tensors[0], self.sent.grids[0])[0]
        self.rows, self.scale = None, self.step
        if dictionary.rows is not None:
            grid = self.sent.grids[1]
            self.rows = torch.from_numpy(grid.integers).to(_held(knobs.precision))
            self.scale = self.step * 2.0**grid.exponent

    def to(self, device: torch.device) -> Channel:
        """Move the tables to a device."""
        self.norm, self.bias = self.norm.to(device), self.bias.to(device)
        self.rows = self.rows.to(device) if self.rows is not None else None
        self.octaves = self.octaves.to(device) if self.octaves is not None else None
        return self

    def stepped(self, half_octaves: int, octaves: tuple[int, ...] = ()) -> Channel:
        """The same dictionary with other steps of the values."""
        other = copy.copy(self)
        other.knobs = Knobs(self.knobs.precision, half_octaves, octaves)
        other.octaves = torch.tensor(octaves, device=self.norm.device) if octaves else None
        other.step = self.delta * 2.0 ** (half_octaves / 2)
        other.scale = other.step * (1.0 if self.rows is None else 2.0 ** self.sent.grids[1].exponent)
        return other

    def integers(self, x: Tensor) -> Code:
        """Quantised coefficients of x [rows, d]; those that round to zero are not active."""
        code = self.explanation.code(x)
        check_code(code, self.parts, len(x))
        return self.rounded(code)

    def rounded(self, code: Code) -> Code:
        """The integers of coefficients that are known already."""
        sized = code.value.double() * self.norm[code.part]
        if self.octaves is not None:
            sized = torch.ldexp(sized, -self.octaves[code.part])
        value = quantise(sized, self.step)
        return Code(code.row, code.part, value, code.rows, code.parts).keep(value != 0)

    def predict(self, code: Code) -> Tensor:
        """x̂ [rows, d] float64 from integers alone, the same on every machine."""
        peak = 2.0 ** (self.knobs.precision - 1)
        return predict(on_finest_step(code, self.octaves), self.rows, self.scale, self.bias, peak)

    def residual(self, x: Tensor, code: Code) -> Tensor:
        """What is left of x on the grid: integers [rows, d]."""
        return quantise(x, self.delta) - quantise(self.predict(code), self.delta)


def on_finest_step(code: Code, octaves: Tensor | None) -> Code:
    """Coefficients as multiples of the finest step of any part."""
    if octaves is None:
        return code
    return replace(code, value=code.value << octaves[code.part])


def predict(
    code: Code, rows: Tensor | None, scale: float, bias: Tensor, peak: float = EXACT_SINGLE
) -> Tensor:
    """scale · Σ_c v_c W_c + bias, float64 [rows, d]; ``rows`` are the integers W, or None for the identity.

    ``peak`` bounds |W|, where it is known. The sum is exact, so it does not depend on order; past 2⁵³ a
    :class:`GridError` is raised.
    """
    if rows is None:
        total = torch.zeros(code.rows, len(bias), dtype=torch.float64, device=code.value.device)
        total[code.row, code.part] = code.value.double()
    elif code.rows:
        total = _weighted_sum(code, rows, peak)
    else:
        total = torch.zeros(0, rows.shape[1], dtype=torch.float64, device=code.value.device)
    if total.numel() and max(map(abs, map(float, total.aminmax()))) >= EXACT:
        raise GridError("coefficients times dictionary exceed 2^53 steps: use a coarser delta")
    return total.mul_(scale).add_(bias)


def _held(precision: int) -> torch.dtype:
    """float32 where sums are likely to be exact in it: several times faster."""
    return torch.float32 if precision <= SHORT else torch.float64


def _weighted_sum(code: Code, rows: Tensor, peak: float) -> Tensor:
    """Σ_c v_c W_c, float64 [rows, d]: in float32 where no partial sum can reach 2²⁴, else in float64."""
    counts = torch.bincount(code.row, minlength=code.rows)
    if rows.dtype == torch.float32:
        largest = torch.bincount(code.row, code.value.abs().double(), minlength=code.rows).max()
        if not float(largest) * peak < EXACT_SINGLE:
            rows = rows.double()
    total: Tensor = torch.nn.functional.embedding_bag(
        code.part,
        rows,
        torch.cumsum(counts, 0) - counts,
        mode="sum",
        per_sample_weights=code.value.to(rows.dtype),
    )
    return total.double()


@dataclass(frozen=True, eq=False)
class SiteTally:
    """Everything the ledger of a site message is a function of; tallies add."""

    usage: Usage
    values: Histogram
    correction: CorrectionTally

    def __add__(self, other: SiteTally) -> SiteTally:
        return SiteTally(
            self.usage + other.usage, self.values + other.values, self.correction + other.correction
        )


Downstream = Callable[[Tensor, slice], tuple[Tensor, Tensor]]
"""(x̂ [rows, d], which rows) → outputs predicted from x̂ and the model's own outputs."""


def tally_rows(
    channel: Channel,
    x: Tensor,
    where: slice,
    target: Target,
    downstream: Downstream | None,
    together: Together | None = None,
) -> SiteTally:
    """Send one chunk of rows, check that it arrives, and tally it, with what parts do ``together``."""
    code = channel.integers(x)
    usage = usage_of(code, together)
    values = keyed(code.part, code.value)
    predicted = channel.predict(code)
    if downstream is not None:
        return SiteTally(usage, values, target.compare(*downstream(predicted, where)))
    if not torch.equal(_told_backwards(channel, code), predicted):
        raise DoesNotDecode(f"{channel.explanation.name}: the receiver restores something else")
    return SiteTally(usage, values, residuals(predicted, x, channel.delta))


def usage_of(code: Code, together: Together | None = None) -> Usage:
    """Which parts a code uses, how many on each row, and (if asked for) which go together."""
    counts = torch.bincount(code.part, minlength=code.parts).cpu().numpy()
    sizes = Histogram.of(torch.bincount(code.row, minlength=code.rows))
    joint = together.tally(code.row, code.part, code.rows, code.parts) if together else None
    return Usage(counts, code.rows, sizes, joint)


def _told_backwards(channel: Channel, code: Code) -> Tensor:
    """x̂ decoded with the rows in reverse: the result must not depend on the company a row keeps."""
    mirrored = Code(
        (code.rows - 1 - code.row).flip(0), code.part.flip(0), code.value.flip(0), code.rows, code.parts
    )
    return channel.predict(mirrored).flip(0)


def chunks(rows: int, positions: int, blocks: int) -> Iterator[tuple[int, slice]]:
    """(block, rows) in canonical chunks of whole data; blocks are contiguous and nearly equal."""
    data = rows // positions
    blocks = max(1, min(blocks, data))
    per_chunk = max(1, CHUNK // positions)
    for block in range(blocks):
        start, stop = block * data // blocks, (block + 1) * data // blocks
        for first in range(start, stop, per_chunk):
            yield block, slice(first * positions, min(first + per_chunk, stop) * positions)


__all__ = ["Channel", "Downstream", "Knobs", "ResidualTally", "SiteTally", "chunks", "tally_rows"]
