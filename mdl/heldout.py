"""Held-out and prequential lengths of a site message: how much of a total comes from fitting its own data.

Steps, dictionary and codes are fitted to the first half of the data. The second half is then told in three
ways, all without the dictionary, which they share:

- *frozen*: under the codes of the first half, as they are;
- *prequential*: under codes that start there and go on learning (what the sequence really costs by then);
- *plug-in*: under codes fitted to the second half itself, their parameters for free. That is no code: the
  receiver does not have them. Its distance to *frozen* is the bias of plug-in estimates.

The codes: a Bernoulli per part; for coefficients and residuals tables over a range with an escape, shared as
the first half shares them; all probabilities are Krichevsky–Trofimov estimates (n_i + 1/2) / (N + K/2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .audit import Checks, channel_of
from .keyed import shortest_sharing, split
from .lengths import kt_bernoulli, signed_delta
from .message import SiteExplanation
from .residual import plain
from .score import Precision, sum_corrections
from .site import Channel, SiteTally, chunks, tally_rows
from .site_score import SiteProblem, score_site
from .streams import Adaptive, Range
from .tally import Histogram, Ints, Usage, merge
from .target import ResidualTally

NOTABLE = 0.01
"""A plug-in bias from which on it is flagged."""


class HeldOutError(ValueError):
    """Data that cannot be split."""


@dataclass(frozen=True)
class HeldOut:
    """Bits per sample of the second half, without the dictionary."""

    rows: int
    frozen: float
    prequential: float
    plug_in: float

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
            "plug_in_bias": self.bias,
            "plug_in_bias_notable": self.bias > NOTABLE,
        }


def halves(problem: SiteProblem) -> tuple[slice, slice]:
    """Rows of the first and the second half, whole data each; raises :class:`HeldOutError` for one datum."""
    if problem.data < 2:
        raise HeldOutError(f"held-out lengths need two data or more, got {problem.data}")
    cut = (problem.data + 1) // 2 * problem.positions
    return slice(0, cut), slice(cut, problem.data * problem.positions)


def held_out(explanation: SiteExplanation, problem: SiteProblem, precision: Precision = "auto") -> HeldOut:
    """Fit on the first half of the data, tell the second; target activations.

    The explanation must itself have been made without the second half.
    """
    fitted, tested = (_part(problem, rows) for rows in halves(problem))
    channel = channel_of(explanation, fitted, score_site(explanation, fitted, precision))
    mine, theirs = _tally(channel, fitted), _tally(channel, tested)
    ways = {
        "frozen": _total(_frozen_support, _frozen, mine, theirs),
        "prequential": _total(_prequential_support, _prequential, mine, theirs),
        "plug_in": _total(_frozen_support, _frozen, theirs, theirs, groups_of=mine),
    }
    return HeldOut(theirs.usage.n, **{name: bits / theirs.usage.n for name, bits in ways.items()})


def _part(problem: SiteProblem, rows: slice) -> SiteProblem:
    return SiteProblem(problem.x[rows], problem.target, problem.delta, problem.positions)


def _tally(channel: Channel, problem: SiteProblem) -> SiteTally:
    x, target = problem.x, problem.target
    where = (rows for _, rows in chunks(len(x), problem.positions, 1))
    tallies = [tally_rows(channel, x[rows], rows, target, None) for rows in where]
    return SiteTally(
        merge(t.usage for t in tallies),
        merge(t.values for t in tallies),
        sum_corrections(t.correction for t in tallies),
    )


def _total(
    support: Callable[[Usage, Usage], float],
    stream: Callable[[Histogram, Histogram], float],
    fitted: SiteTally,
    tested: SiteTally,
    groups_of: SiteTally | None = None,
) -> float:
    """Bits of ``tested`` when codes come from ``fitted``, shared among keys as ``groups_of`` shares them."""
    bits = support(fitted.usage, tested.usage)
    several = zip(_streams(fitted), _streams(tested), _streams(groups_of or fitted), strict=True)
    for (mine, keys), (theirs, _), (grouping, _) in several:
        code_of = shortest_sharing(grouping, keys).code_of
        pairs = zip(_grouped(mine, code_of), _grouped(theirs, code_of), strict=True)
        bits += sum(stream(a, b) for a, b in pairs)
    return bits


def _streams(tally: SiteTally) -> tuple[tuple[Histogram, int], ...]:
    """Coefficients by part, residuals by coordinate; each with how many keys there are."""
    correction = tally.correction
    assert isinstance(correction, ResidualTally)
    return (tally.values, tally.usage.parts), (plain(correction.placed), correction.width)


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


__all__ = ["NOTABLE", "HeldOut", "HeldOutError", "halves", "held_out"]
