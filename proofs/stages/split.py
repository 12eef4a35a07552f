"""Bounds and input splitting: close what linear bounds close, cut the rest, in batches.

With one free variable a box is cut at a breakpoint of the network (a sweep of its linear pieces, as after the
substitution of `x1 == x2`); otherwise in the middle of the variable to which the bound is most sensitive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product

import torch
from assay.proofs.bounds import Bounds
from assay.proofs.comparing import apart
from assay.proofs.formulas import Atom, atoms, holds
from assay.proofs.search import Deadline, Search, fuzzy
from assay.proofs.tree import Tree
from assay.proofs.verdicts import Unknown, Witness
from torch import Tensor

from .alternatives import Cases
from .branching import Aim, breakpoints, middles, variables
from .falsify import THOROUGH_STARTS, THOROUGH_STEPS, ascended, falsify
from .polishing import polished, several
from .regions import FEW_UNSTABLE, Batch, Region
from .sharpening import attempt, open_units

NAME = "bounds and splitting"
MAX_NODES, MAX_PAIRED = 400_000, 2_000
"""Boxes of a search; and of one along twins, whose lines do not meet however small a box is."""
STUCK_ROUNDS = 100  # after a point that rounding leaves undecided
PLAIN_ROUNDS, PLAIN_ROUNDS_OF_SMALL, SMALL = 4, 16, 300
"""Rounds without optimised bounds. Where the networks have few entries, the checker needs less for a leaf
than a linear program takes."""
THOROUGH_ROUND = 16
"""After so many rounds the search was not that easy: counterexamples are looked for in earnest."""
SHARP_BATCH = 64
LARGEST_BATCH = 128
"""On a CPU more boxes at once leave its caches; an accelerator takes sixteen times as many."""
CLIMB, MANY_BOXES = 5, 16
"""Steps of gradient ascent in open boxes, where they are many: together they cost a twentieth of what
bounding those does. For few it is tried now and then."""
FEW_INPUTS = 6
FEW_OPEN, MANY_OPEN = 12, 64
"""Up to so many open ReLUs linear programs are tried: with few inputs (cutting on is cheap), and many."""
FEW_JUMPS, MANY_PHASES = 16, 1 << 20
"""Up to so many open ReLUs regions are split on their phases: where there are jumps (cutting inputs closes no
box at whose side one jumps), and with many inputs."""
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
        self.regions = {0: Region(self.search.lo, self.search.hi, depth=len(self.search.obligation.limits))}
        self.open: list[int] = [0]
        self.many = len(self.search.lo) > FEW_INPUTS
        self.several = several(self.search) and not bool(self.search.whole.all())
        program = self.search.obligation.program
        self.paired = bool(self.search.batch.pairs)  # what lies between twins shrinks with the inputs
        few = self.many or program.jumps or program.relus() <= MANY_OPEN
        self.phased = few and not self.paired
        self.refused: set[int] = set()
        self.stuck: Unknown | None = None
        self.stuck_at = 0
        self.anew: set[int] = set()
        self.aim = Aim(self.formula, self.search.batch)
        self.batch_size = _batch_size(self.search)
        self.together = self.paired and apart(self.search.obligation)  # atoms say little one by one
        self.cases = Cases(self.formula, all=self.together)
        plain = len(self.cases.parts) == 1 and not (program.jumps or self.many)
        small = plain and program.multiplications() <= SMALL
        self.sharpened = self.cases.few and (self.together or not self.paired)
        self.most = MAX_PAIRED if self.paired else MAX_NODES
        self.wide = self.many and not self.paired and not bool(self.search.whole.all())  # bits are soon cut
        self.plain_rounds = PLAIN_ROUNDS_OF_SMALL if small else PLAIN_ROUNDS
        self.plain_rounds = 0 if self.wide or self.together else self.plain_rounds

    def run(self) -> Witness | Unknown | Tree:
        """Close every region, or say what stopped it."""
        while self.open:
            if self.stuck and (self.deadline.over or self.rounds > self.stuck_at + STUCK_ROUNDS):
                return self.stuck
            if self.deadline.over:
                return self.unknown("out of time", "a larger budget, or a lemma that explains the mechanism")
            if len(self.tree.nodes) > self.most:
                return self.unknown(f"more than {self.most} boxes", "a lemma that explains the mechanism")
            if (stopped := self.step()) is not None:
                return stopped
            share = f"{self.progress.closed_volume:.1%} of the scope closed"
            self.search.report(f"{share}, {len(self.open)} boxes open")
        return self.stuck or self.tree

    def step(self) -> Witness | Unknown | None:
        """Bound one batch of regions, and split those that stay open."""
        numbers = self.take()
        batch = Batch.of(self.search.batch, [self.regions[n] for n in numbers])
        top, slopes = batch.bounds.upper(self.rows)
        self.rounds += 1
        self.phased |= self.rounds <= self.plain_rounds and not self.paired and self.kinked(batch)
        late = self.rounds > self.plain_rounds
        self.sharp = self.sharpened and (late or self.sharp or self.kinked(batch))
        value = self.value(batch, top, slopes, numbers)
        empty = {
            k
            for k, number in enumerate(numbers)
            if number not in self.refused and self.empty(number, batch, k)
        }
        closed = {k for k in (value < 0).nonzero().flatten().tolist() if numbers[k] not in self.refused}
        self.close([numbers[k] for k in closed | empty])
        kept = [k for k in range(len(numbers)) if k not in closed | empty]
        if not kept:
            return None
        found = self.probe(batch.bounds.rows(kept), [numbers[k] for k in kept])
        if isinstance(found, Witness):
            return found
        kept = [k for k in kept if numbers[k] not in found]
        if self.sharp:
            tried = [k for k in kept if numbers[k] not in self.refused]
            kept = sorted({*kept} - {*tried} | {*self.sharpen(numbers, batch, tried)})
        kept = self.list_points(numbers, batch, kept)
        kept = [k for k in kept if not self.bounded_anew(numbers[k])]
        return self.divide([numbers[k] for k in kept], batch.rows(kept))

    def empty(self, number: int, batch: Batch, k: int) -> bool:
        """Whether what the region was split on last never has that sign there, which closes it."""
        if not batch.phases[k]:
            return False
        step, i, sign = batch.phases[k][-1]
        source = batch.bounds.source(step)
        low, high = (float(side[k, i]) for side in batch.bounds.interval(source))
        if (low <= _NOISE * high) if sign < 0 else (high > _NOISE * -low):
            return False
        fact = sign * self.search.obligation.program.unit(source, i)
        self.tree.nodes[number].leaf = [{"slopes": [], "sum": [], "cuts": [[fact, "1"]]}]
        return True

    def take(self) -> list[int]:
        """The next regions, either all with known intervals or none."""
        size = min(self.batch_size, SHARP_BATCH) if self.sharp and self.many else self.batch_size
        numbers = [self.open.pop()]
        fresh = self.regions[numbers[0]].known is None
        while len(numbers) < size and self.open and (self.regions[self.open[-1]].known is None) == fresh:
            numbers.append(self.open.pop())
        return numbers

    def value(self, batch: Batch, top: Tensor, slopes: Tensor, numbers: list[int]) -> Tensor:
        """Upper bound [boxes] of the formula."""
        careful = torch.tensor([self.tree.nodes[n].careful for n in numbers], device=batch.lo.device)
        return fuzzy(self.formula, self.leeway(top, slopes, batch.lo, batch.hi, careful))

    def bounded_anew(self, number: int) -> bool:
        """Put a region back whose inherited rounding errors alone keep it open, without them."""
        if number not in self.anew:
            return False
        self.anew.remove(number)
        self.regions[number] = replace(self.regions[number], anew=True)
        self.open.append(number)
        return True

    def kinked(self, batch: Batch) -> bool:
        """Whether the scope has several dimensions and few open ReLUs, so that their phases explain it."""
        several = len(self.search.lo) > 1 or self.search.obligation.program.jumps
        return several and bool((open_units(batch.bounds) <= FEW_UNSTABLE).all())

    def list_points(self, numbers: list[int], batch: Batch, kept: list[int]) -> list[int]:
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
            value = fuzzy(self.formula, self.leeway(top, slopes, points, points, careful))
            if bool((value < 0).all()):
                self.tree.nodes[numbers[k]].leaf = ["points"]
                self.close([numbers[k]])
                done.add(k)
        return [k for k in kept if k not in done]

    def sharpen(self, numbers: list[int], batch: Batch, kept: list[int]) -> list[int]:
        """Close what optimised bounds close; gives what stays open."""
        bounds, phases = batch.bounds.rows(kept), [batch.phases[k] for k in kept]
        limit = (MANY_OPEN if self.many else FEW_OPEN) if self.phased or self.together else -1
        exactly = (open_units(bounds) <= limit).tolist() if kept else []
        tried = attempt(bounds, self.cases, phases, exactly)
        done = set()
        for k, closed, items in zip(kept, tried.closed, tried.items, strict=True):
            if closed:
                self.tree.nodes[numbers[k]].leaf = items
                self.close([numbers[k]])
                done.add(k)
        return [k for k in kept if k not in done]

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

    def probe(self, bounds: Bounds, numbers: list[int]) -> Witness | set[int]:
        """Climb from the middle of every open box: a counterexample there, or rounding errors beyond repair,
        for which boxes are set aside."""
        if self.rounds == THOROUGH_ROUND:
            found = falsify(self.search, THOROUGH_STARTS, THOROUGH_STEPS)
            if found is not None:
                return found
        middle = middles(self.search, bounds.lo, bounds.hi)
        steps = CLIMB if len(middle) >= MANY_BOXES or self.rounds.bit_count() == 1 else 0
        points = ascended(self.search, middle, bounds.lo, bounds.hi, steps)
        points = torch.where(self.search.whole, points.round(), points)
        score, at_middle = self.search.score(points), self.search.score(middle)
        order = score.argsort(descending=True)[:4]
        self.progress.worst = max(self.progress.worst, float(score[order[0]]))
        if self.several and self.rounds.bit_count() == 1:
            points[order[0]] = polished(self.search, points[order[0]])
            score = self.search.score(points)
        likely = points[order[score[order] >= -1e-3 * (1 + score[order].abs())]]
        if (found := self.search.witness(likely)) is not None:
            return found
        if self.search.claim.semantics != "float32":
            return set()
        return self.hopeless(bounds, middle, at_middle, numbers)

    def hopeless(self, bounds: Bounds, points: Tensor, score: Tensor, numbers: list[int]) -> set[int]:
        """In float32 a point whose own enclosure does not decide it can never be closed by splitting.

        There may be a counterexample elsewhere, so the search goes on for some time.
        """
        values = self.search.batch.forward(points)
        inherited, fresh = (self.enclosed(points, values, radii) for radii in (bounds.radii, {}))
        stale = ((inherited >= 0) & (fresh < 0)).tolist()
        self.anew |= {n for n, over in zip(numbers, stale, strict=True) if over and self.regions[n].known}
        doubtful = (fresh >= 0).nonzero().flatten()[:4]
        top, _ = Bounds(self.search.batch, points[doubtful], points[doubtful]).upper(self.rows)
        gaps = self.worth(top) - score[doubtful]
        aside = set[int]()
        for k, gap, margin in zip(doubtful.tolist(), gaps.tolist(), (-score[doubtful]).tolist(), strict=True):
            if gap > margin:
                aside.add(numbers[k])
                if not self.stuck:
                    reason = f"float32 slack {gap:.3g} > margin {max(margin, 0.0):.3g}"
                    self.stuck = self.unknown(reason, "a larger margin in the claim, or smaller weights")
                    self.stuck_at = self.rounds
        return aside

    def enclosed(self, points: Tensor, values: list[Tensor], radii: Mapping[int, Tensor]) -> Tensor:
        """About what bounds the formula at points, with the given rounding errors or those of the point."""
        bounds = Bounds(self.search.batch, points, points)
        bounds.intervals = {step: (value, value) for step, value in enumerate(values)}
        bounds.radii = dict(radii)
        return self.worth(bounds.upper(self.rows)[0])

    def worth(self, top: Tensor) -> Tensor:
        """What bounds of the atoms say of the formula; a condition that always holds bounds nothing."""
        return fuzzy(self.formula, torch.where(self.settled.isnan(), top, self.settled * torch.inf))

    def divide(self, numbers: list[int], batch: Batch) -> Unknown | None:
        """Split regions in two, by the phase of a ReLU where few are open, else by a cut."""
        if not numbers:
            return None
        chosen = self.phases(numbers, batch)
        for k, number in enumerate(numbers):
            if (phase := chosen[k]) is not None:
                children = self.tree.split(number, phase=phase)
                inside = batch.inside(k)
                self.regions.pop(number)
                for child, sign in zip(children, (-1, 1), strict=True):
                    self.regions[child] = replace(inside, phases=(*inside.phases, (*phase, sign)))
                self.open += reversed(children)
        cuts = [k for k, phase in enumerate(chosen) if phase is None]
        return self.cut([numbers[k] for k in cuts], batch.rows(cuts)) if cuts else None

    def phases(self, numbers: list[int], batch: Batch) -> list[tuple[int, int] | None]:
        """ReLUs to split on; none early on, nor where the whole numbers of a box are soon listed."""
        if not self.sharp or not self.phased:
            return [None] * len(numbers)
        width = torch.where(self.search.whole, batch.hi - batch.lo + 1, torch.inf)
        listed = (width.prod(-1) <= FEW_POINTS).tolist()
        few = FEW_JUMPS if self.search.obligation.program.jumps else FEW_UNSTABLE
        choices = batch.phase_choices(self.aim, MANY_PHASES if self.wide else few)
        return [None if few else pick for few, pick in zip(listed, choices, strict=True)]

    def cut(self, numbers: list[int], batch: Batch) -> Unknown | None:
        """Cut boxes in two; Unknown where one is too small to be cut."""
        variable = variables(self.search, batch.bounds, self.aim, self.paired or not self.many)[:, None]
        low, high = (side.gather(1, variable).squeeze(1) for side in (batch.lo, batch.hi))
        at = middles(self.search, batch.lo, batch.hi).gather(1, variable).squeeze(1)
        whole = self.search.whole[variable.squeeze(1)]
        if batch.lo.shape[1] == 1:
            at = breakpoints(self.search.batch, low, high, at)
            at = torch.where(whole, at.floor(), at)
        small = torch.where(whole, high <= low, (at <= low) | (at >= high)).tolist()
        for k, number in enumerate(numbers):
            if not small[k]:
                self.cut_at(number, batch.inside(k), int(variable[k]), float(at[k]))
            elif not self.holds_exactly(batch.lo[k], batch.hi[k]):
                return self.unknown("boxes as small as floating point allows stay open", "a strict margin")
            else:
                self.close([number])
        return None

    def cut_at(self, number: int, inside: Region, variable: int, at: float) -> None:
        """Cut one box at a value of one variable."""
        children = self.tree.split(number, cut=(variable, Fraction(at)))
        self.regions.pop(number)
        left, right = inside.hi.clone(), inside.lo.clone()
        left[variable] = at
        right[variable] = at + float(self.search.whole[variable])
        self.regions[children[0]] = replace(inside, hi=left)
        self.regions[children[1]] = replace(inside, lo=right)
        self.open += reversed(children)

    def holds_exactly(self, lo: Tensor, hi: Tensor) -> bool:
        """Whether a box is one point, and exact arithmetic refutes the counterexample there."""
        if bool((lo != hi).any()) or self.search.claim.semantics == "float32":
            return False
        point = [Fraction(v) for v in lo.tolist()]
        return not holds(self.formula, self.search.obligation.program.evaluate(point))

    def reopen(self, numbers: list[int]) -> None:
        """Leaves that the checker did not accept: they are cut."""
        for number in numbers:
            node = self.tree.nodes[number]
            node.closed, node.careful, node.leaf = False, True, [0]
            self.open.append(number)
            self.refused.add(number)
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


def _settled(atom: Atom) -> float:
    """-1 or 1 for an atom without variables, as it is refuted or true; NaN for any other."""
    if atom.form.terms:
        return float("nan")
    return 1.0 if atom.form.const > 0 or (atom.form.const == 0 and not atom.strict) else -1.0


def _batch_size(search: Search) -> int:
    """Boxes at once, so that the widest back-substitution stays within a share of the memory."""
    sizes = [step.size for step in search.obligation.program.steps]
    widest = 16 * max(sizes) * (max(sizes) + len(list(atoms(search.obligation.counterexample))))
    return max(1, min(LARGEST_BATCH, search.memory // 8 // max(1, widest)))


__all__ = ["NAME", "Splitter"]
