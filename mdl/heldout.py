"""Held-out and prequential lengths: how much of a total comes from fitting its own data.

Steps, parts and codes are fitted to the first half of the data. The second half is then told in three ways,
all without the parts, which they share:

- *frozen*: under the codes of the first half, as they are;
- *prequential*: under codes that start there and go on learning (what the sequence really costs by then);
- *plug-in*: under codes fitted to the second half itself, their parameters for free. That is no code: the
  receiver does not have them. Its distance to *frozen* is the bias of plug-in estimates.

The codes: a Bernoulli per part (of a mechanism, on each position); for coefficients and residuals tables over
a range with an escape, shared as the first half shares them; a Bernoulli for flags of wrong answers; all
probabilities are Krichevsky–Trofimov estimates (n_i + 1/2) / (N + K/2). KL has no code to fit: it is the same
in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from .answers import AnswerTally
from .audit import Checks
from .keyed import shortest_sharing, split
from .lengths import kt_bernoulli, signed_delta
from .mechanism_score import MechanismProblem, MechanismTally, data_chunks, tally_mechanism
from .message import MechanismExplanation, SiteExplanation
from .residual import plain
from .score import BLOCKS, Precision
from .site import SiteTally, chunks
from .site_score import SiteProblem, tally_site
from .streams import Adaptive, Range
from .tally import Histogram, Ints, Usage, merge
from .tallying import Course, Tallied
from .target import CorrectionTally, ResidualTally

NOTABLE = 0.01
"""A plug-in bias from which on it is flagged."""


class HeldOutError(ValueError):
    """Data that cannot be split."""


@dataclass(frozen=True)
class HeldOut:
    """Bits per sample of the second half, without the parts; ``new_parts``: parts that it alone uses."""

    rows: int
    frozen: float
    prequential: float
    plug_in: float
    new_parts: int = 0

    @property
    def bias(self) -> float:
        """How much longer the frozen code is than the plug-in estimate says, relative."""
        return self.frozen / self.plug_in - 1 if self.plug_in else 0.0

    def checks(self) -> Checks:
        """As entries of a report."""
        return {
            "heldout_rows": self.rows,
            "heldout_frozen": self.frozen,
            "heldout_prequential": self.prequential,
            "heldout_plug_in": self.plug_in,
            "heldout_new_parts": self.new_parts,
            "plug_in_bias": self.bias,
            "plug_in_bias_notable": self.bias > NOTABLE,
        }


@dataclass(frozen=True, eq=False)
class _Told:
    """What was told of one half: which parts, how strongly, and the correction."""

    usage: Usage
    values: Histogram
    correction: CorrectionTally


def halves(data: int, positions: int = 1) -> tuple[slice, slice]:
    """Rows of the first and the second half, whole data each; raises :class:`HeldOutError` for one datum."""
    if data < 2:
        raise HeldOutError(f"held-out lengths need two data or more, got {data}")
    cut = (data + 1) // 2 * positions
    return slice(0, cut), slice(cut, data * positions)


def held_out(explanation: SiteExplanation, problem: SiteProblem, precision: Precision = "auto") -> HeldOut:
    """Fit on the first half of the data, tell the second; either target of a site.

    The explanation must itself have been made without the second half.
    """
    fitted, tested = (_site_part(problem, rows) for rows in halves(problem.data, problem.positions))
    mine = tally_site(explanation, fitted, precision)
    plan = list(chunks(len(tested.x), tested.positions, BLOCKS))
    theirs = tally_site(explanation, tested, course=Course(start=_anew(mine, len(plan))))
    sums = (merge(tallied.per_block()) for tallied in (mine, theirs))
    return _compared(*(_Told(t.usage, t.values, t.correction) for t in sums))


def held_out_mechanism(
    explanation: MechanismExplanation, problem: MechanismProblem, precision: Precision = "auto"
) -> HeldOut:
    """Fit on the first half of the data, tell the outputs of the second.

    The explanation must itself have been made without the second half.
    """
    fitted, tested = (
        replace(problem, inputs=problem.inputs[rows], outputs=problem.outputs[rows])
        for rows in halves(problem.data)
    )
    mine = tally_mechanism(explanation, fitted, precision)
    start = _anew(mine, len(list(data_chunks(tested.data))))
    theirs = tally_mechanism(explanation, tested, course=Course(start=start))
    sums = (merge(tallied.per_block()) for tallied in (mine, theirs))
    return _compared(*(_Told(t.rows, t.values, t.correction) for t in sums))


def _anew(fitted: Tallied[SiteTally] | Tallied[MechanismTally], chunks: int) -> Tallied[Any]:
    """Nothing tallied yet, under the choices that were made before."""
    return Tallied(fitted.choices, np.zeros(chunks, dtype=bool))


def _site_part(problem: SiteProblem, rows: slice) -> SiteProblem:
    """Some rows of a problem; the network after the site is told which they were."""
    whole = problem.downstream
    if whole is None:
        return replace(problem, x=problem.x[rows])

    def downstream(told: Tensor, where: slice) -> tuple[Tensor, Tensor]:
        return whole(told, slice(where.start + rows.start, where.stop + rows.start))

    return replace(problem, x=problem.x[rows], downstream=downstream)


def _compared(mine: _Told, theirs: _Told) -> HeldOut:
    ways = {
        "frozen": _total(_frozen_support, _frozen, mine, theirs, mine),
        "prequential": _total(_prequential_support, _prequential, mine, theirs, mine),
        "plug_in": _total(_frozen_support, _frozen, theirs, theirs, mine),
    }
    n = theirs.usage.n
    new = int(((theirs.usage.counts > 0) & (mine.usage.counts == 0)).sum())
    return HeldOut(n, **{name: bits / n for name, bits in ways.items()}, new_parts=new)


def _total(
    support: Callable[[Usage, Usage], float],
    stream: Callable[[Histogram, Histogram], float],
    fitted: _Told,
    tested: _Told,
    groups_of: _Told,
) -> float:
    """Bits of ``tested`` when codes come from ``fitted``, shared among keys as ``groups_of`` shares them."""
    bits = support(fitted.usage, tested.usage)
    if isinstance(tested.correction, AnswerTally):
        assert isinstance(fitted.correction, AnswerTally)
        bits += support(_flags(fitted.correction), _flags(tested.correction))
        bits += tested.correction.wrong * tested.correction.other
    elif not isinstance(tested.correction, ResidualTally):
        bits += sum(line.bits for line in tested.correction.lines())
    several = zip(_streams(fitted), _streams(tested), _streams(groups_of), strict=True)
    for (mine, keys), (theirs, _), (grouping, _) in several:
        code_of = shortest_sharing(grouping, keys).code_of
        pairs = zip(_grouped(mine, code_of), _grouped(theirs, code_of), strict=True)
        bits += sum(stream(a, b) for a, b in pairs)
    return bits


def _flags(answers: AnswerTally) -> Usage:
    """Wrong answers as a part that is active on their rows."""
    return Usage(np.array([answers.wrong]), answers.rows, Histogram())


def _streams(told: _Told) -> list[tuple[Histogram, int]]:
    """Coefficients by part, residuals by coordinate; each with how many keys there are."""
    streams = [(told.values, told.usage.parts)] if told.usage.parts else []
    if isinstance(told.correction, ResidualTally):
        streams.append((plain(told.correction.placed), told.correction.width))
    return streams


def _grouped(tally: Histogram, code_of: Ints) -> Iterator[Histogram]:
    """The symbols of each group of keys."""
    keys, symbols = split(tally)
    group = code_of[keys] if keys.size else keys
    for g in range(int(code_of.max(initial=0)) + 1):
        mine = group == g
        unique, where = np.unique(symbols[mine], return_inverse=True)
        yield Histogram(unique, np.bincount(where, tally.counts[mine], unique.size).astype(np.int64))


def _frozen_support(fitted: Usage, tested: Usage) -> float:
    """Every part at the KT estimate of its frequency in ``fitted``."""
    p = (fitted.counts + 0.5) / (fitted.n + 1)
    off = tested.n - tested.counts
    return float(-(tested.counts * np.log2(p) + off * np.log2(1 - p)).sum())


def _prequential_support(fitted: Usage, tested: Usage) -> float:
    both = kt_bernoulli(fitted.counts + tested.counts, fitted.n + tested.n)
    return float((both - kt_bernoulli(fitted.counts, fitted.n)).sum())


def _range(tally: Histogram) -> Range:
    return Range(int(tally.symbols[0]), int(tally.symbols[-1])) if tally.symbols.size else Range(0, 0)


def _frozen(fitted: Histogram, tested: Histogram) -> float:
    """KT estimates from ``fitted``, then fixed; what lies outside its range is an escape and Elias delta."""
    span = _range(fitted)
    counts = dict(zip(fitted.symbols.tolist(), fitted.counts.tolist(), strict=True))
    seen = np.array([counts.get(s, 0) for s in tested.symbols.tolist()], dtype=np.float64)
    price = np.log2(fitted.total + (span.size + 1) / 2) - np.log2(seen + 0.5)
    beyond = np.where(tested.symbols > span.hi, tested.symbols - span.hi - 1, tested.symbols - span.lo)
    price = price + np.where(span.holds(tested.symbols), 0, signed_delta(beyond))
    return float((price * tested.counts).sum())


def _prequential(fitted: Histogram, tested: Histogram) -> float:
    """The adaptive code that has seen ``fitted`` already."""
    code = Adaptive(_range(fitted))
    return code.bits(fitted + tested) - code.bits(fitted)


__all__ = ["NOTABLE", "HeldOut", "HeldOutError", "halves", "held_out", "held_out_mechanism"]
