"""Bounds and input splitting: close what linear bounds close, cut the rest, in batches.

With one free variable a box is cut at a breakpoint of the network (a sweep of its linear pieces, as after the
substitution of `x1 == x2`); otherwise in the middle of the variable to which the bound is most sensitive.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product

import torch
from assay.proofs.bounds import BatchProgram, Bounds
from assay.proofs.formulas import Atom, Both, Formula, atoms, holds
from assay.proofs.program import Relu
from assay.proofs.relaxation import Phase, phase_tensors, relu_steps
from assay.proofs.search import Deadline, Search
from assay.proofs.tree import Tree
from assay.proofs.verdicts import Unknown, Witness
from torch import Tensor

from .sharpening import Cases, attempt, open_units

NAME = "bounds and splitting"
MAX_NODES = 400_000
PLAIN_ROUNDS = 4
SHARP_BATCH = 64
FEW_UNSTABLE = 8
FEW_INPUTS = 8
FEW_OPEN = 12
FEW_POINTS = 1 << 16
LISTED = 32
"""Boxes of up to so many whole points are closed point by point: the checker re-evaluates each of them."""
_NOISE = 1e-12


@dataclass
class Progress:
    """What is left of a scope, and the best that was shown of it."""

    closed_volume: float = 0.0
    largest: tuple[float, Tensor, Tensor] | None = None
    worst: float = -torch.inf


@dataclass(frozen=True)
class Region:
    """A box of the free variables, and ReLUs that are known to be on or off in it."""

    lo: Tensor
    hi: Tensor
    phases: tuple[Phase, ...] = ()


@dataclass
class Splitter:
    """The search tree of one claim; `run` continues where it stopped."""

    search: Search
    deadline: Deadline
    tree: Tree = field(default_factory=Tree)
    progress: Progress = field(default_factory=Progress)
    rounds: int = 0
    sharp: bool = False

    def __post_init__(self) -> None:
        self.formula = self.search.obligation.counterexample
        self.atoms = list(atoms(self.formula))
        self.rows = self.search.batch.rows([atom.form for atom in self.atoms])
        device = self.search.lo.device
        self.strict = torch.tensor([atom.strict for atom in self.atoms], dtype=torch.bool, device=device)
        self.settled = torch.tensor(list(map(_settled, self.atoms)), dtype=torch.float64, device=device)
        self.regions = {0: Region(self.search.lo, self.search.hi)}
        self.open: list[int] = [0]
        self.cases = Cases(self.formula)
        self.batch_size = _batch_size(self.search)

    def run(self) -> Witness | Unknown | Tree:
        """Close every region, or say what stopped it."""
        while self.open:
            if self.deadline.over:
                return self.unknown("out of time", "a larger budget, or a lemma that explains the mechanism")
            if len(self.tree.nodes) > MAX_NODES:
                return self.unknown(f"more than {MAX_NODES} boxes", "a lemma that explains the mechanism")
            stopped = self.step()
            if stopped is not None:
                return stopped
            share = f"{self.progress.closed_volume:.1%} of the scope closed"
            self.search.report(f"{share}, {len(self.open)} boxes open")
        return self.tree

    def step(self) -> Witness | Unknown | None:
        """Bound one batch of regions, and split those that stay open."""
        many = len(self.search.lo) > FEW_INPUTS
        size = min(self.batch_size, SHARP_BATCH) if self.sharp and many else self.batch_size
        numbers = [self.open.pop() for _ in range(min(size, len(self.open)))]
        batch = _Batch.of(self.search.batch, [self.regions[n] for n in numbers])
        top, slopes = batch.bounds.upper(self.rows)
        self.rounds += 1
        self.sharp = self.cases.few and (self.rounds > PLAIN_ROUNDS or self.sharp or self.kinked(batch))
        careful = torch.tensor([self.tree.nodes[n].careful for n in numbers], device=batch.lo.device)
        value, responsible = decisive(self.formula, self.leeway(top, slopes, batch.lo, batch.hi, careful))
        closed = value < 0
        self.close([n for n, done in zip(numbers, closed.tolist(), strict=True) if done])
        kept = (~closed).nonzero().flatten().tolist()
        if not kept:
            return None
        stopped = self.probe(batch.lo[kept], batch.hi[kept])
        if stopped is not None:
            return stopped
        if self.sharp:
            kept = self.sharpen(numbers, batch, kept)
        kept = self.list_points(numbers, batch, kept)
        weight = slopes[kept, responsible[kept]].abs()
        return self.divide([numbers[k] for k in kept], batch.rows(kept), weight)

    def kinked(self, batch: _Batch) -> bool:
        """Whether the scope has several dimensions and few open ReLUs, so that their phases explain it."""
        return len(self.search.lo) > 1 and bool((open_units(batch.bounds) <= FEW_UNSTABLE).all())

    def list_points(self, numbers: list[int], batch: _Batch, kept: list[int]) -> list[int]:
        """Close small boxes of whole numbers on whose every point the claim holds; gives what stays open."""
        width = torch.where(self.search.whole, batch.hi - batch.lo + 1, torch.inf).prod(-1)
        small = [k for k in kept if 1 < float(width[k]) <= LISTED and not batch.phases[k]]
        done = set()
        for k in small:
            ends = zip(batch.lo[k].tolist(), batch.hi[k].tolist(), strict=True)
            listed = list(product(*(range(int(lo), int(hi) + 1) for lo, hi in ends)))
            points = torch.tensor(listed, dtype=batch.lo.dtype, device=batch.lo.device)
            top, slopes = Bounds(self.search.batch, points, points).upper(self.rows)
            careful = torch.full((len(points),), self.tree.nodes[numbers[k]].careful, device=points.device)
            value, _ = decisive(self.formula, self.leeway(top, slopes, points, points, careful))
            if bool((value < 0).all()):
                self.tree.nodes[numbers[k]].leaf = ["points"]
                self.close([numbers[k]])
                done.add(k)
        return [k for k in kept if k not in done]

    def sharpen(self, numbers: list[int], batch: _Batch, kept: list[int]) -> list[int]:
        """Close what optimised bounds close; gives what stays open."""
        tried_ones = self.promising(batch, kept)
        phases = [batch.phases[k] for k in tried_ones]
        tried = attempt(self.search.batch, self.cases, batch.lo[tried_ones], batch.hi[tried_ones], phases)
        done = set()
        for k, closed, items in zip(tried_ones, tried.closed, tried.items, strict=True):
            if closed:
                self.tree.nodes[numbers[k]].leaf = items
                self.close([numbers[k]])
                done.add(k)
        return [k for k in kept if k not in done]

    def promising(self, batch: _Batch, kept: list[int]) -> list[int]:
        """Regions worth the effort: with few inputs, cutting on is cheaper while many ReLUs are open."""
        if len(self.search.lo) > FEW_INPUTS:
            return kept
        count = open_units(batch.bounds).tolist()
        return [k for k in kept if count[k] <= FEW_OPEN][:SHARP_BATCH]

    def leeway(self, top: Tensor, slopes: Tensor, lo: Tensor, hi: Tensor, careful: Tensor) -> Tensor:
        """Upper bounds of the atoms, shifted so that < 0 means closed, as far as floating point can tell.

        e > 0 is refuted by a bound of 0, which rounding may hide: there the checker is asked, unless it said
        no.
        """
        reach = torch.maximum(lo.abs(), hi.abs())
        noise = _NOISE * (self.rows.const.abs() + torch.einsum("brn,bn->br", slopes.abs(), reach) + 1e-30)
        top = top + torch.where(self.strict & ~careful[:, None], -noise, noise)
        return torch.where(self.settled.isnan(), top, self.settled)

    def close(self, numbers: list[int]) -> None:
        """Mark leaves as closed."""
        for number in numbers:
            self.tree.nodes[number].closed = True
            region = self.regions[number]
            volume = self.volume(region)
            self.progress.closed_volume += volume
            if self.progress.largest is None or volume > self.progress.largest[0]:
                self.progress.largest = (volume, region.lo, region.hi)

    def volume(self, region: Region) -> float:
        """Share of the scope's box; each fixed phase counts for a half."""
        one = self.search.whole.to(region.lo.dtype)
        whole = (self.search.hi - self.search.lo + one).clamp(min=1e-300)
        share: float = ((region.hi - region.lo + one) / whole).prod().item()
        return share * 0.5 ** len(region.phases)

    def probe(self, lo: Tensor, hi: Tensor) -> Witness | Unknown | None:
        """Look at the middle of every open box: a counterexample there, or a rounding error beyond repair."""
        middle = (lo + hi) / 2
        middle = torch.where(self.search.whole, middle.floor(), middle)
        score = self.search.score(middle)
        order = score.argsort(descending=True)[:4]
        self.progress.worst = max(self.progress.worst, float(score[order[0]]))
        likely = middle[order[score[order] >= -1e-3 * (1 + score[order].abs())]]
        if (found := self.search.witness(likely)) is not None:
            return found
        return (
            self.hopeless(middle[order], score[order]) if self.search.claim.semantics == "float32" else None
        )

    def hopeless(self, points: Tensor, score: Tensor) -> Unknown | None:
        """In float32 a point whose own enclosure does not decide it can never be closed by splitting."""
        top, _ = Bounds(self.search.batch, points, points).upper(self.rows)
        value, _ = decisive(self.formula, top)
        for gap, margin in zip((value - score).tolist(), (-score).tolist(), strict=True):
            if gap > margin:
                reason = f"float32 slack {gap:.3g} > margin {max(margin, 0.0):.3g}"
                return self.unknown(reason, "a larger margin in the claim, or smaller weights")
        return None

    def divide(self, numbers: list[int], batch: _Batch, weight: Tensor) -> Unknown | None:
        """Split regions in two, by the phase of a ReLU where few are open, else by a cut."""
        if not numbers:
            return None
        chosen = self.phases(numbers, batch)
        cuts = [k for k, phase in enumerate(chosen) if phase is None]
        for k, number in enumerate(numbers):
            if (phase := chosen[k]) is not None:
                children = self.tree.split(number, phase=phase)
                region = self.regions.pop(number)
                for child, sign in zip(children, (-1, 1), strict=True):
                    self.regions[child] = replace(region, phases=(*region.phases, (*phase, sign)))
                self.open += reversed(children)
        return self.cut([numbers[k] for k in cuts], batch.lo[cuts], batch.hi[cuts], weight[cuts])

    def phases(self, numbers: list[int], batch: _Batch) -> list[tuple[int, int] | None]:
        """ReLUs to split on; none early on, nor where the whole numbers of a box are soon listed."""
        if not self.sharp:
            return [None] * len(numbers)
        width = torch.where(self.search.whole, batch.hi - batch.lo + 1, torch.inf)
        listed = (width.prod(-1) <= FEW_POINTS).tolist()
        return [None if few else pick for few, pick in zip(listed, batch.phase_choices(), strict=True)]

    def cut(self, numbers: list[int], lo: Tensor, hi: Tensor, weight: Tensor) -> Unknown | None:
        """Cut boxes in two; Unknown where one is too small to be cut."""
        width = hi - lo
        scope = (self.search.hi - self.search.lo).clamp(min=1e-300)
        variable = (
            weight * width + 1e-9 * weight.amax(-1, keepdim=True) * width + 1e-12 * width / scope
        ).argmax(-1)
        rows = torch.arange(len(lo), device=lo.device)
        low, high = lo[rows, variable], hi[rows, variable]
        at = (low + high) / 2
        if lo.shape[1] == 1:
            at = breakpoints(self.search.batch, low, high, at)
        whole = self.search.whole[variable]
        at = torch.where(whole, at.floor(), at)
        small = torch.where(whole, high <= low, (at <= low) | (at >= high)).tolist()
        for k, number in enumerate(numbers):
            if not small[k]:
                self.cut_at(number, int(variable[k]), float(at[k]))
            elif not self.holds_exactly(lo[k], hi[k]):
                return self.unknown("boxes as small as floating point allows stay open", "a strict margin")
            else:
                self.close([number])
        return None

    def cut_at(self, number: int, variable: int, at: float) -> None:
        """Cut one box at a value of one variable."""
        children = self.tree.split(number, cut=(variable, Fraction(at)))
        region = self.regions.pop(number)
        left, right = region.hi.clone(), region.lo.clone()
        left[variable] = at
        right[variable] = at + float(self.search.whole[variable])
        self.regions[children[0]] = replace(region, hi=left)
        self.regions[children[1]] = replace(region, lo=right)
        self.open += reversed(children)

    def holds_exactly(self, lo: Tensor, hi: Tensor) -> bool:
        """Whether a box is one point, and exact arithmetic refutes the counterexample there."""
        if bool((lo != hi).any()) or self.search.claim.semantics == "float32":
            return False
        point = [Fraction(v) for v in lo.tolist()]
        return not holds(self.formula, self.search.obligation.program.evaluate(point))

    def reopen(self, numbers: list[int]) -> None:
        """Leaves that the checker did not accept: bound them with care, or cut them."""
        for number in numbers:
            node = self.tree.nodes[number]
            node.closed, node.careful, node.leaf = False, True, [0]
            self.open.append(number)
            self.progress.closed_volume -= self.volume(self.regions[number])

    def unknown(self, reason: str, needed: str) -> Unknown:
        """What is known when the search stops."""
        progress = self.progress
        box = None
        if progress.largest is not None:
            _, lo, hi = progress.largest
            ends = zip(self.search.obligation.free, lo.tolist(), hi.tolist(), strict=True)
            box = {name: f"{low:g}..{high:g}" for name, low, high in ends}
        worst = None if progress.worst == -torch.inf else progress.worst
        return Unknown(NAME, reason, worst, max(0.0, 1 - progress.closed_volume), box, needed)


@dataclass(frozen=True)
class _Batch:
    """Regions side by side, with their plain bounds."""

    lo: Tensor
    hi: Tensor
    phases: list[tuple[Phase, ...]]
    bounds: Bounds

    @classmethod
    def of(cls, batch: BatchProgram, regions: list[Region]) -> _Batch:
        lo, hi = torch.stack([r.lo for r in regions]), torch.stack([r.hi for r in regions])
        phases = [r.phases for r in regions]
        return cls(lo, hi, phases, Bounds(batch, lo, hi, phases=phase_tensors(batch, phases, lo.device)))

    def rows(self, kept: list[int]) -> _Batch:
        """Some of the regions."""
        regions = [Region(self.lo[k], self.hi[k], self.phases[k]) for k in kept]
        return _Batch.of(self.bounds.batch, regions) if regions else self

    def phase_choices(self) -> list[tuple[int, int] | None]:
        """For each region with few undecided ReLUs, the one whose relaxation is the loosest."""
        count = open_units(self.bounds)
        best = torch.zeros(len(self.lo), dtype=self.lo.dtype)
        picks: list[tuple[int, int] | None] = [None] * len(self.lo)
        for step in relu_steps(self.bounds.batch):
            lines = self.bounds.relaxation(step)
            width, unit = torch.where(lines.unstable, lines.intercept, -torch.ones_like(lines.intercept)).max(
                -1
            )
            for k in (width.cpu() > best).nonzero().flatten().tolist():
                best[k], picks[k] = float(width[k]), (step, int(unit[k]))
        return [pick if count[k] <= FEW_UNSTABLE else None for k, pick in enumerate(picks)]


def _settled(atom: Atom) -> float:
    """-1 or 1 for an atom without variables, as it is refuted or true; NaN for any other."""
    if atom.form.terms:
        return float("nan")
    return 1.0 if atom.form.const > 0 or (atom.form.const == 0 and not atom.strict) else -1.0


def decisive(formula: Formula, top: Tensor) -> tuple[Tensor, Tensor]:
    """Upper bound of the formula's fuzzy truth [boxes], and the number of the atom that decides it."""
    value, index, _ = _decisive(formula, top, 0)
    return value, index


def _decisive(formula: Formula, top: Tensor, first: int) -> tuple[Tensor, Tensor, int]:
    if isinstance(formula, Atom):
        return top[:, first], torch.full((len(top),), first, device=top.device), first + 1
    sign = 1.0 if isinstance(formula, Both) else -1.0
    best = torch.full((len(top),), torch.inf, dtype=top.dtype, device=top.device)
    index = torch.zeros(len(top), dtype=torch.long, device=top.device)
    for part in formula.parts:
        value, chosen, first = _decisive(part, top, first)
        better = sign * value < best
        best, index = torch.where(better, sign * value, best), torch.where(better, chosen, index)
    return sign * best, index, first


def breakpoints(batch: BatchProgram, low: Tensor, high: Tensor, middle: Tensor) -> Tensor:
    """A zero inside (low, high) of a ReLU whose inputs are affine there, the one nearest the middle; else
    the middle.

    Up to the first step whose ReLUs change sign, values are affine between the ends, so the zero is where the
    chord crosses.
    """
    at_low, at_high = batch.forward(low[:, None]), batch.forward(high[:, None])
    found, done = middle.clone(), torch.zeros_like(middle, dtype=torch.bool)
    for step in batch.program.steps:
        if not isinstance(step, Relu):
            continue
        a, b = at_low[step.source], at_high[step.source]
        zero = low[:, None] - a * (high - low)[:, None] / torch.where(a == b, torch.ones_like(a), b - a)
        inside = (a * b < 0) & (zero > low[:, None]) & (zero < high[:, None])
        distance = torch.where(inside, (zero - middle[:, None]).abs(), torch.full_like(zero, torch.inf))
        nearest = distance.argmin(-1, keepdim=True)
        hit = inside.any(-1) & ~done
        found = torch.where(hit, zero.gather(-1, nearest).squeeze(-1), found)
        done |= hit
    return found


def _batch_size(search: Search) -> int:
    """Boxes at once, so that the widest back-substitution stays within a share of the memory."""
    sizes = [step.size for step in search.obligation.program.steps]
    widest = 16 * max(sizes) * (max(sizes) + len(list(atoms(search.obligation.counterexample))))
    return max(1, min(2048, search.memory // 8 // max(1, widest)))


__all__ = ["NAME", "Splitter", "breakpoints", "decisive"]
