"""``score_site``: one explanation of the activations at a site, in bits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .calibrate import calibrate
from .joint import Together
from .keyed import linear_sharings, shortest_sharing
from .law import Law, Rate
from .ledger import Ledger, Line
from .message import SiteExplanation
from .rows import Rows
from .score import (
    BLOCKS,
    Precision,
    Progress,
    Score,
    faithfulness,
    sum_corrections,
    support_rates,
    support_shares,
)
from .site import Channel, Downstream, Knobs, SiteTally, chunks, steps_told, tally_rows
from .support import shortest_support
from .tally import merge
from .tallying import Choices, Course, Tallied, whole
from .target import Target


@dataclass(frozen=True, eq=False)
class SiteProblem:
    """What every explanation of a site is scored on: activations [rows, d] and the target.

    ``positions`` rows make one datum. With ``downstream`` the target is the outputs, and the receiver
    knows the network after the site.
    """

    x: Rows
    target: Target
    delta: float
    positions: int = 1
    downstream: Downstream | None = None

    @property
    def data(self) -> int:
        """n."""
        return len(self.x) // self.positions


def score_site(
    explanation: SiteExplanation,
    problem: SiteProblem,
    precision: Precision = "auto",
    calibrate_rows: int = 512,
    progress: Progress | None = None,
) -> Score:
    """Weigh an explanation of the activations at a site.

    The two free steps (values, dictionary) are chosen on the first ``calibrate_rows`` rows by minimising
    the total, and recorded in the score. Units: bits; one row is one sample.
    """
    course: Course[SiteTally] = Course(progress=progress)
    channels = _Channels(explanation, problem)
    tallied = _tally(channels, precision, calibrate_rows, course)
    return _site_score(channels.of(tallied.choices), tallied.per_block())


def tally_site(
    explanation: SiteExplanation,
    problem: SiteProblem,
    precision: Precision = "auto",
    calibrate_rows: int = 512,
    course: Course[SiteTally] | None = None,
) -> Tallied[SiteTally]:
    """The tallies behind :func:`score_site`, of one shard or from where an earlier run stopped.

    Every shard chooses the steps on the same first rows, so all choose alike.
    """
    return _tally(_Channels(explanation, problem), precision, calibrate_rows, course or Course())


def site_score(explanation: SiteExplanation, problem: SiteProblem, tallied: Tallied[SiteTally]) -> Score:
    """The score of tallies that cover the data; raises ``TallyError`` where chunks are missing."""
    return _site_score(_Channels(explanation, problem).of(tallied.choices), tallied.per_block())


class _Channels:
    """Channels of one explanation: a large dictionary is put on its grid once for all that ask."""

    def __init__(self, explanation: SiteExplanation, problem: SiteProblem) -> None:
        self.explanation, self.problem = explanation, problem
        self._made: dict[Knobs, Channel] = {}

    def at(self, knobs: Knobs) -> Channel:
        """The channel with these steps."""
        if knobs not in self._made:
            channel = Channel(self.explanation, self.problem.delta, knobs)
            self._made[knobs] = channel.to(self.problem.x.device)
        return self._made[knobs]

    def of(self, choices: Choices) -> Channel:
        """The channel with the steps that were chosen."""
        octaves = choices["octaves"]
        assert isinstance(octaves, list)
        return self.at(Knobs(whole(choices, "precision"), whole(choices, "half_octaves"), tuple(octaves)))


def _tally(
    channels: _Channels, precision: Precision, calibrate_rows: int, course: Course[SiteTally]
) -> Tallied[SiteTally]:
    explanation, problem = channels.explanation, channels.problem
    plan = list(chunks(len(problem.x), problem.positions, BLOCKS))

    def choose() -> Choices:
        found = calibrate(explanation, problem, precision, calibrate_rows)
        knobs = found.knobs
        return {
            "precision": knobs.precision,
            "half_octaves": knobs.half_octaves,
            "octaves": list(knobs.octaves),
            "pairs": found.together.pairs,
        }

    start = course.begin(len(plan), choose)
    channel = channels.of(start.choices)
    together = Together(problem.positions, bool(start.choices["pairs"]))

    def tally(rows: slice) -> SiteTally:
        return tally_rows(channel, problem.x[rows], rows, problem.target, problem.downstream, together)

    return course.run(start, plan, tally)


def _sum(tallies: Iterable[SiteTally]) -> SiteTally:
    several = list(tallies)
    return SiteTally(
        merge(t.usage for t in several),
        merge(t.values for t in several),
        sum_corrections(t.correction for t in several),
    )


def _site_lines(channel: Channel, tally: SiteTally) -> list[Line]:
    """Parts first, then support, values and correction."""
    support = shortest_support(tally.usage)
    values = shortest_sharing(tally.values, channel.parts)
    sent = channel.sent
    grid = f"{channel.knobs.precision}-bit grid"
    header = values.header + steps_told(channel.knobs)
    told = header + values.bits(tally.values)
    return [
        Line("dictionary", "parts", grid, sent.total(tally.usage.counts), sent.headers(tally.usage.counts)),
        Line("active sets", "support", support.name, support.bits(tally.usage.n), support.header),
        Line("coefficients", "values", values.label, told, header),
        *tally.correction.lines(),
    ]


def _site_score(channel: Channel, per_block: list[SiteTally]) -> Score:
    tally = _sum(per_block)
    n = tally.usage.n
    ways = list(linear_sharings(tally.values, channel.parts))
    steps = steps_told(channel.knobs)
    law = Law(
        n,
        tally.usage.counts,
        channel.sent.ways,
        channel.sent.header,
        {
            "support": support_rates(tally.usage, n),
            "values": tuple(Rate(w.label, steps + w.header, w.bits(tally.values) / n) for w in ways),
            **tally.correction.rates(n),
        },
        channel.explanation.open_ended,
    )
    values = min(ways, key=lambda w: w.header + w.bits(tally.values))
    blocks = (
        support_shares(tally.usage, [b.usage for b in per_block])
        + np.array([values.bits(b.values) for b in per_block])
        + tally.correction.shares([b.correction for b in per_block])
    )
    return Score(
        Ledger(tuple(_site_lines(channel, tally)), n),
        law,
        blocks,
        np.array([b.usage.n for b in per_block], dtype=np.float64),
        {"precision": channel.knobs.precision, "value_step": channel.step},
        faithfulness(tally.usage, tally.correction),
        tally.usage,
        channel.knobs.octaves,
    )
