"""Linear bounds of many boxes at once, in floating point on any device.

Back-substitution (CROWN, Zhang et al. 2018; DeepPoly, Singh et al. 2019). The search only proposes: what it
finds is checked again in exact arithmetic by `check.py`, which relaxes each ReLU in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from . import function_bounds as functions
from .batch import BatchProgram, Rows
from .lines import Lines, bent, jumping
from .program import Affine, Free, Function, Jump, Relu

_U = 2.0**-24
_AT_ONCE = 1 << 24
"""Coefficients of rows that are substituted at once."""

Intervals = Mapping[int, tuple[Tensor, Tensor]]
"""Lower and upper bounds [boxes, size] of affine steps."""


class Bounds:
    """Bounds of all steps on a batch of boxes lo, hi [boxes, free variables].

    `phases` forces ReLUs on (1) or off (-1), [boxes, size] per ReLU step. `outer` are intervals that are
    known to hold; as in the checker, only what they leave with either sign is bounded anew.
    """

    def __init__(
        self,
        batch: BatchProgram,
        lo: Tensor,
        hi: Tensor,
        phases: Mapping[int, Tensor] | None = None,
        outer: Intervals | None = None,
    ) -> None:
        self.batch, self.lo, self.hi = batch, lo, hi
        self.phases = phases or {}
        self.outer = outer or {}
        self.intervals: dict[int, tuple[Tensor, Tensor]] = {}
        self.radii: dict[int, Tensor] = {}
        self.lines: dict[int, Lines] = {}
        self.bands: dict[int, functions.Band] = {}

    def upper(
        self, rows: Rows, error: Tensor | None = None, slopes: Mapping[int, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Upper bounds [boxes, rows] of linear forms, and their coefficients [boxes, rows, free] on the box.

        `slopes` replace the lower slopes of unstable ReLUs ([boxes, size] per step, in [0, 1]).
        """
        pending = dict(rows.coefficients)
        const = rows.const if error is None else rows.const + error
        while pending and (step := max(pending)) > 0:
            row = pending.pop(step)
            if isinstance(self.batch.program.steps[step], Affine):
                const = const + row @ self.batch.consts[step]
                if (radius := self.radius(step)) is not None:
                    const = const + (row.abs().expand(len(self.lo), -1, -1) @ radius[..., None])[..., 0]
                new = {s: m.rows(row) for s, m in self.batch.matrices[step].items()}
            elif isinstance(function := self.batch.program.steps[step], Function):
                row, band = row.expand(len(self.lo), -1, -1), self.band(step)
                ends = row.clamp(min=0) @ band.most[..., None] + row.clamp(max=0) @ band.least[..., None]
                const, new = const + ends[..., 0], {}
                for s, slope in zip(function.sources, band.slopes, strict=False):
                    new[s] = new[s] + row * slope[:, None] if s in new else row * slope[:, None]
            else:
                lines = self.relaxation(step)
                down = lines.down
                if slopes and step in slopes:
                    down = torch.where(lines.unstable, slopes[step], down)
                above = row.expand(len(self.lo), -1, -1).clamp(min=0)
                const = const + (above @ lines.intercept[..., None])[..., 0]
                if lines.base is not None:
                    const = const + ((row - above) @ lines.base[..., None])[..., 0]
                new = {
                    self.source(step): torch.addcmul(
                        row * down[:, None, :], above, (lines.up - down)[:, None, :]
                    )
                }
                if step in self.batch.pairs:
                    new[self.batch.pairs[step].base] = row @ self.batch.pairs[step].scales
            for s, more in new.items():
                pending[s] = pending[s] + more if s in pending else more
        row = pending.get(
            0,
            torch.zeros(
                1, rows.const.shape[-1], self.lo.shape[1], dtype=torch.float64, device=self.lo.device
            ),
        )
        row = row.expand(len(self.lo), -1, -1)
        corner = torch.einsum("brn,bn->br", row.clamp(min=0), self.hi) + torch.einsum(
            "brn,bn->br", row.clamp(max=0), self.lo
        )
        return const + corner, row

    def gates(self, function: Function) -> tuple[Tensor, Tensor]:
        """Where [boxes, size] the first factor of a product is -1, 0 or 1 on all of a box, and where only the
        second is."""
        first, second = (self.constant(s) for s in function.sources)
        return first, second & ~first

    def constant(self, step: int) -> Tensor:
        """Where a step is -1, 0 or 1 on all of a box."""
        low, high = self.interval(step)
        return (low == high) & ((low == 0) | (low.abs() == 1))

    def band(self, step: int) -> functions.Band:
        """Lines along a function; a product by -1, 0 or 1 is its other factor times that."""
        if step not in self.bands:
            function = self.batch.program.steps[step]
            assert isinstance(function, Function)
            read = [self.interval(s) for s in function.sources]
            band = functions.band(function, read, self.interval(step), self.batch.rounding)
            if function.kind == "product" and self.batch.program.jumps:
                first, second = self.gates(function)
                here = first | second
                slopes = [torch.where(second, read[1][0], 0.0), torch.where(first, read[0][0], 0.0)]
                band.slopes = [torch.where(here, *pair) for pair in zip(slopes, band.slopes, strict=True)]
                band.least, band.most = (torch.where(here, 0.0, end) for end in (band.least, band.most))
            self.bands[step] = band
        return self.bands[step]

    def function_interval(self, step: int, function: Function) -> tuple[Tensor, Tensor]:
        """That of a function; a product by -1, 0 or 1 is not rounded."""
        read = [self.interval(s) for s in function.sources]
        low, high = functions.interval(function, self.batch.tables.get(step), read, self.batch.rounding)
        if function.kind == "product" and self.batch.program.jumps:
            for gate, other, here in zip(read, read[::-1], self.gates(function), strict=True):
                ends = [gate[0] * side for side in other]
                low = torch.where(here, torch.minimum(*ends), low)
                high = torch.where(here, torch.maximum(*ends), high)
        return low, high

    def source(self, step: int) -> int:
        """The step that a ReLU step reads."""
        relu = self.batch.program.steps[step]
        assert isinstance(relu, Relu)
        return relu.source

    def interval(self, step: int) -> tuple[Tensor, Tensor]:
        """Lower and upper bounds [boxes, size] of a step's values."""
        if step not in self.intervals:
            kind = self.batch.program.steps[step]
            if isinstance(kind, Free):
                self.intervals[step] = (self.lo, self.hi)
            elif isinstance(kind, Jump):
                lines = self.relaxation(step)
                on = (lines.intercept > 0) & ~lines.unstable
                off = (lines.intercept <= 0) & (lines.up <= 0)
                self.intervals[step] = (on.to(self.lo.dtype), (~off).to(self.lo.dtype))
            elif isinstance(kind, Relu):
                low, high = self.interval(kind.source)
                self.intervals[step] = (low.clamp(min=0), high.clamp(min=0))
            elif isinstance(kind, Function):
                self.intervals[step] = self.function_interval(step, kind)
            else:
                paired = step in self.batch.readers
                self.intervals[step] = self.paired_interval(step) if paired else self.affine_interval(step)
        return self.intervals[step]

    def paired_interval(self, step: int) -> tuple[Tensor, Tensor]:
        """That of what twins read: by what lies between it and what their counterparts read."""
        pairs = self.batch.pairs[self.batch.readers[step]]
        least, most = self.apart(self.batch.readers[step])
        low, high = (v @ pairs.scales.T for v in self.interval(self.source(pairs.base)))
        low, high = low + least, high + most
        if not bool(pairs.paired.all()):
            plain = self.affine_interval(step)
            low, high = (torch.where(pairs.paired, *each) for each in zip((low, high), plain, strict=True))
        known = self.outer.get(step)
        return (low, high) if known is None else (low.maximum(known[0]), high.minimum(known[1]))

    def apart(self, step: int) -> tuple[Tensor, Tensor]:
        """By how much [boxes, size] what twins read may lie below and above that of their counterparts."""

        def between(earlier: int) -> tuple[Tensor, Tensor]:
            lines = self.relaxation(earlier)
            assert lines.base is not None
            return lines.base, lines.intercept

        pairs = self.batch.pairs[step]
        least, most = pairs.apart(self.interval, between)
        least, most = (end.expand(len(self.lo), -1) for end in (least, most))
        for source, rows in pairs.through.items():
            if (radius := self.radius(source)) is not None:
                slack = radius @ rows.T
                least, most = least - slack, most + slack
        return least, most

    def affine_interval(self, step: int) -> tuple[Tensor, Tensor]:
        """Both signs of the rows that may have either, at once; the others keep their outer intervals, or
        those that what they read gives them, as in the checker."""
        known, rows = self.outer.get(step), None
        if step not in self.batch.curved:
            fresh = known is None
            known = self.roughly(step) if known is None else known
            rows = doubtful(*known, fresh)
        if rows is not None and rows.shape[1] == 0:
            return known  # type: ignore[return-value]
        at_once = max(1, _AT_ONCE // max(1, 2 * len(self.lo) * self.batch.widest))
        parts = [rows] if rows is None else torch.split(rows, at_once, 1)
        low, high = (torch.cat(ends, 1) for ends in zip(*(self.both(step, p) for p in parts), strict=True))
        if rows is None or known is None:
            low, high = functions.finite(low, high) if self.batch.curved else (low, high)
            low, high = self.batch.inward(step, low, high)
            return (low, high) if known is None else (low.maximum(known[0]), high.minimum(known[1]))
        low, high = self.batch.inward(step, low, high, rows)
        low = torch.maximum(known[0].gather(1, rows), low)
        high = torch.minimum(known[1].gather(1, rows), high)
        return known[0].scatter(1, rows, low), known[1].scatter(1, rows, high)

    def both(self, step: int, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        """Bounds of some rows [boxes, rows] of an affine step, None for all, by back-substitution."""
        matrices, const = self.batch.matrices[step], self.batch.consts[step]
        picked = torch.arange(len(const), device=const.device)[None] if rows is None else rows
        error = self.radius(step)
        if error is not None:
            error = error if rows is None else error.gather(1, rows)
            error = torch.cat([error, error], 1)
        signed = {s: torch.cat([m, -m], -2) for s, m in ((s, m.some(picked)) for s, m in matrices.items())}
        shift = torch.cat([const[picked], -const[picked]], 1)
        top, _ = self.upper(Rows(signed, shift), error)
        if self.batch.banded:
            top = torch.minimum(top, self.directly(signed, shift, error))
        high, low = top.expand(len(self.lo), -1).chunk(2, 1)
        return -low, high

    def roughly(self, step: int) -> tuple[Tensor, Tensor]:
        """Bounds [boxes, rows] of an affine step from the bounds of what it reads alone."""
        low = high = self.batch.consts[step]
        if (error := self.radius(step)) is not None:
            low, high = low - error, high + error
        for source, matrix in self.batch.matrices[step].items():
            ends = self.interval(source)
            low, high = low + matrix.most(*ends[::-1]), high + matrix.most(*ends)
        low, high = (end.expand(len(self.lo), -1) for end in (low, high))
        return self.batch.inward(step, low, high)

    def directly(self, rows: Mapping[int, Tensor], const: Tensor, error: Tensor | None) -> Tensor:
        """Upper bounds [boxes, rows] of linear forms from the bounds of what they read alone."""
        top = const if error is None else const + error
        for source, row in rows.items():
            low, high = self.interval(source)
            ends = row.clamp(min=0) @ high[..., None] + row.clamp(max=0) @ low[..., None]
            top = top + ends[..., 0]
        return top

    def radius(self, step: int) -> Tensor | None:
        """float32 rounding error [boxes, rows] of an affine step; None where it is exact (Higham 2002,
        3.1)."""
        affine = self.batch.program.steps[step]
        assert isinstance(affine, Affine)
        if not affine.depth:
            return None
        if step not in self.radii:
            size = self.batch.consts[step].abs().expand(len(self.lo), -1)
            for source in self.batch.matrices[step]:
                low, high = self.interval(source)
                size = size + self.batch.magnitudes(step, source).values(torch.maximum(-low, high))
            k = affine.depth
            self.radii[step] = size * (k * _U / (1 - k * _U)) + 2.0**-63
            if step in self.batch.wholes:  # float32 holds every sum on the way
                exact = self.batch.wholes[step] & (size < 2**24)
                self.radii[step] = torch.where(exact, 0.0, self.radii[step])
        return self.radii[step]

    def relaxation(self, step: int) -> Lines:
        """The lines of a ReLU step, or of jumps, as the checker draws them."""
        if step not in self.lines:
            low, high = self.interval(self.source(step))
            jump = isinstance(self.batch.program.steps[step], Jump)
            forced = self.phases.get(step)
            on, off = (low > 0 if jump else low >= 0), high <= 0
            if forced is not None:
                on, off = (on & (forced >= 0)) | (forced > 0), (off & (forced <= 0)) | (forced < 0)
            if jump:
                whole = self.batch.wholes.get(self.source(step), torch.zeros_like(on[:0].any(0)))
                self.lines[step] = jumping(low, high, on, ~(on | off), whole)
            else:
                lines = bent(low, high, on, ~(on | off))
                self.lines[step] = self.along_twins(step, lines) if step in self.batch.pairs else lines
        return self.lines[step]

    def along_twins(self, step: int, lines: Lines) -> Lines:
        """The lines of a ReLU step of which some are twins: these lie between constants, above c times their
        counterparts."""
        twin = self.batch.pairs[step].paired
        least, most = self.apart(step)
        zero = torch.zeros_like(lines.up)
        return Lines(
            torch.where(twin, zero, lines.down),
            torch.where(twin, zero, lines.up),
            torch.where(twin, most.clamp(min=0), lines.intercept),
            lines.unstable & ~twin,
            torch.where(twin, least.clamp(max=0), zero),
        )

    def rows(self, kept: Sequence[int]) -> Bounds:
        """Some of the boxes, with what is known of them."""
        at = torch.as_tensor(kept, dtype=torch.long, device=self.lo.device)
        phases = {s: p[at] for s, p in self.phases.items()}
        part = Bounds(self.batch, self.lo[at], self.hi[at], phases, chosen(self.outer, at))
        part.intervals = chosen(self.intervals, at)
        part.radii = {s: r[at] for s, r in self.radii.items()}
        part.bands = {s: band.of(at) for s, band in self.bands.items()}
        part.lines = {s: line.of(at) for s, line in self.lines.items()}
        return part


class Rough(Bounds):
    """By the bounds of what each affine step reads alone: interval arithmetic."""

    def affine_interval(self, step: int) -> tuple[Tensor, Tensor]:
        """By `roughly`."""
        return self.roughly(step)


def chosen(intervals: Intervals, at: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """The intervals of some boxes."""
    return {step: (low[at], high[at]) for step, (low, high) in intervals.items()}


def doubtful(low: Tensor, high: Tensor, fresh: bool) -> Tensor:
    """Numbers [boxes, most] of the components that may have either sign, filled up with others; where bounds
    are `fresh`, also of those above 0 that they do not tell to an eighth."""
    open_ones = (low < 0) & (high > 0)
    open_ones |= (high > 0) & (8 * (high - low) > high) if fresh else False
    most = int(open_ones.sum(-1).max()) if len(low) else 0
    return open_ones.to(torch.int8).argsort(-1, descending=True)[:, :most]
