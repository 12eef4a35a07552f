"""Boolean abstraction: inputs that are 0 or 1, decided one by one, with look-ahead.

Both values of every open bit are bounded side by side. A value that the bounds refute leaves the other one
(a failed literal, as unit propagation finds them); a bit of which both are refuted closes the region; else
the bit whose values lower the bound the most is branched on (Heule and van Maaren 2009, look-ahead based
SAT solvers). Real inputs are bits where a condition such as `x - relu(2*x - 1) == 0` makes them so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from assay.proofs.bounds import Bounds
from assay.proofs.formulas import Atom, flat
from assay.proofs.maps import entries
from assay.proofs.program import Affine, Program, Relu
from assay.proofs.search import Deadline, Search, fuzzy
from assay.proofs.translation import Form
from assay.proofs.verdicts import Unknown, Witness
from torch import Tensor

from .split import Splitter

NAME = "look-ahead over bits"
_BOXES = 2048
_HALF = Fraction(1, 2)


@dataclass
class _Region:
    """Some bits are set; it is closed, or open, or split at `bit` in the regions of 0 and 1."""

    lo: Tensor
    hi: Tensor
    bit: int | None = None
    halves: list[_Region] = field(default_factory=list)


@dataclass
class Literals:
    """The search over `bits`, which number free variables; `run` gives a proof as certificates hold it."""

    search: Search
    deadline: Deadline
    bits: Sequence[int]

    def __post_init__(self) -> None:
        self.splitter = Splitter(self.search, self.deadline)
        self.root = _Region(self.search.lo, self.search.hi)
        self.gadgets = self.found_gadgets()

    def run(self) -> list[Any] | Witness | Unknown:
        """Close every region, or say what stopped it."""
        if missing := [self.search.obligation.free[i] for i, found in self.gadgets.items() if not found]:
            return Unknown(NAME, f"lemma open: no condition makes {', '.join(missing)} 0 or 1")
        open_, boxes = [self.root], 2 * len(self.bits) + 1
        while open_:
            if self.deadline.over:
                return Unknown(NAME, "timeout", needed="a larger budget")
            size = max(1, _BOXES // boxes)
            taken, open_ = open_[-size:], open_[:-size]
            found = self.step(taken)
            if isinstance(found, Witness | Unknown):
                return found
            open_ += found
            self.search.report(f"{len(open_)} regions open")
        return list(self.items(self.root))

    def step(self, regions: list[_Region]) -> list[_Region] | Witness | Unknown:
        """Look ahead from some regions; gives those that stay open."""
        todo: list[_Region] = []
        for region, tops in zip(regions, self.looked(regions), strict=True):
            if tops[0] < 0:
                continue
            left = self.unset(region)
            if not left:
                witness = self.search.witness(region.lo[None])
                return witness or Unknown(NAME, "lemma open: the bits alone do not decide the claim")
            ahead = tops[1:].reshape(len(self.bits), 2)[[self.bits.index(i) for i in left]]
            failed = [(i, pair) for i, pair in zip(left, ahead.tolist(), strict=True) if min(pair) < 0]
            both = [i for i, pair in failed if max(pair) < 0]
            for i, pair in failed if not both else [(both[0], [-1.0, -1.0])]:
                zero, one = self.divided(region, i)
                region = one if pair[0] < 0 else zero
            if both:
                continue
            if failed:
                todo.append(region)
                continue
            gain = (tops[0] - ahead).clamp(min=1e-6)
            todo += self.divided(region, left[int(gain.prod(-1).argmax())])
        return todo

    def unset(self, region: _Region) -> list[int]:
        """Bits that are not set in a region."""
        return [i for i in self.bits if region.lo[i] < region.hi[i]]

    def divided(self, region: _Region, i: int) -> list[_Region]:
        """The regions where a bit is 0 and 1."""
        region.bit = i
        for value in (0.0, 1.0):
            half = _Region(region.lo.clone(), region.hi.clone())
            half.lo[i] = half.hi[i] = value
            region.halves.append(half)
        return region.halves

    def looked(self, regions: list[_Region]) -> Tensor:
        """Upper bounds [regions, 1 + 2 bits] of the formula: as it is, and with each bit at 0 and 1."""
        lo = torch.stack([r.lo for r in regions])[:, None].repeat(1, 1 + 2 * len(self.bits), 1)
        hi = torch.stack([r.hi for r in regions])[:, None].repeat(1, 1 + 2 * len(self.bits), 1)
        for k, i in enumerate(self.bits):
            for value in (0, 1):
                lo[:, 1 + 2 * k + value, i] = hi[:, 1 + 2 * k + value, i] = float(value)
        lo, hi = lo.flatten(0, 1), hi.flatten(0, 1)
        top, slopes = Bounds(self.search.batch, lo, hi).upper(self.splitter.rows)
        careful = torch.zeros(len(lo), dtype=torch.bool, device=lo.device)
        leeway = self.splitter.leeway(top, slopes, lo, hi, careful)
        return fuzzy(self.splitter.formula, leeway).reshape(len(regions), -1)

    def items(self, region: _Region) -> Iterator[Any]:
        """The proof in preorder."""
        if region.bit is None:
            yield 0
            return
        i, (zero, one) = region.bit, region.halves
        unit = 1 + list(self.search.obligation.inputs).index(self.search.obligation.free[i])
        if i not in self.gadgets:
            yield ["cut", unit, "0"]
            yield from self.items(zero)
            yield from self.items(one)
            return
        low, high = self.gadgets[i]
        yield ["cut", unit, "1/2"]
        yield ["cut", unit, "0"]
        yield from self.items(zero)
        yield {"slopes": [], "sum": [[low[0], "1"]], "cuts": [[unit, low[1]]]}
        yield ["cut", -unit, "-1"]
        yield from self.items(one)
        yield {"slopes": [], "sum": [[high[0], "1"]], "cuts": [[-unit, high[1]]]}

    def found_gadgets(self) -> dict[int, tuple[tuple[int, str], ...]]:
        """For each bit that is real the atoms by which x > 0 is refuted up to 1/2, and x < 1 from there.

        They fall like -s x from 0, or rise like s (x - 1) to 1; each comes with its s.
        """
        obligation = self.search.obligation
        found: dict[int, dict[int, tuple[int, str]]] = {i: {} for i in self.bits if not obligation.whole[i]}
        if not found:
            return {}
        parts = [
            (k, part) for k, part in enumerate(flat(obligation.counterexample)) if isinstance(part, Atom)
        ]
        for end in (0, 1):
            values = [self.values(abs(end - distance)) for distance in (Fraction(0), _HALF / 2, _HALF)]
            for k, part in parts:
                i = _only_input(obligation.program, part.form)
                at = [part.form.at(value) for value in values] if i in found else [_HALF]
                if at[0] == 0 > at[-1] == 2 * at[1]:
                    found[i or 0].setdefault(end, (k, str(-2 * at[-1])))
        return {i: (ends[0], ends[1]) if len(ends) == 2 else () for i, ends in found.items()}

    def values(self, value: Fraction) -> list[Any]:
        """All values where every bit has the same one."""
        point = [*self.search.obligation.lo]
        for i in self.bits:
            point[i] = value
        return self.search.obligation.program.evaluate(point)


def _only_input(program: Program, form: Form) -> int | None:
    """The one free variable that a form reads, by itself or through ReLUs of it; None if there are others."""
    read = set[int]()
    for (step, i), _ in form.terms:
        relu = program.steps[step]
        source = program.steps[relu.source] if isinstance(relu, Relu) else None
        if step == 0:
            read.add(i)
        elif isinstance(source, Affine) and all(s == 0 for s, _ in source.terms):
            read.update(int(j) for _, m in source.terms for j in entries(m[[i]])[1])
        else:
            return None
    return read.pop() if len(read) == 1 else None


def bits_of(search: Search, names: Sequence[str]) -> list[int]:
    """Numbers of the free variables that are components of the named variables."""
    components = {c for v in search.claim.variables if v.name in names for c in v.components}
    return [i for i, name in enumerate(search.obligation.free) if name in components]


__all__ = ["NAME", "Literals", "bits_of"]
