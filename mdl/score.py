"""The accountant: ``score_site`` and ``score_mechanism`` weigh one explanation in bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from .keyed import linear_sharings, shortest_sharing
from .law import Law, Rate
from .ledger import Ledger, Line
from .lengths import Floats
from .message import MechanismExplanation, SiteExplanation
from .parts import SentParts, send_parts
from .site import Channel, Downstream, Knobs, SiteTally, chunks, tally_rows
from .support import shortest_support, support_costs
from .tally import Usage, merge
from .target import CorrectionTally, DivergenceTally, ResidualTally, Target

BLOCKS = 32
Precision = int | Literal["auto"]
Progress = Callable[[int, int], None]
PRECISIONS = (8, 6, 7, 9, 5, 10, 11, 12, 4)


@dataclass(frozen=True, eq=False)
class Score:
    """What one explanation costs on one dataset."""

    ledger: Ledger
    law: Law
    blocks: Floats
    block_rows: Floats
    knobs: dict[str, float | int | str]
    faithfulness: dict[str, float]
    usage: Usage

    @property
    def bits_per_sample(self) -> float:
        """Total bits over rows."""
        return self.ledger.per_sample(self.ledger.total)


@dataclass(frozen=True, eq=False)
class SiteProblem:
    """What every explanation of a site is scored on: activations [rows, d] and the target.

    ``positions`` rows make one datum. With ``downstream`` the target is the outputs, and the receiver
    knows the network after the site.
    """

    x: Tensor
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
    calibrate_rows: int = 1024,
    progress: Progress | None = None,
) -> Score:
    """Weigh an explanation of the activations at a site.

    The two free steps (values, dictionary) are chosen on the first ``calibrate_rows`` rows by minimising
    the total, and recorded in the score. Units: bits; one row is one sample.
    """
    knobs = _calibrate(explanation, problem, precision, calibrate_rows)
    channel = Channel(explanation, problem.delta, knobs).to(problem.x.device)
    per_block = _tally_blocks(channel, problem, progress)
    return _site_score(channel, problem, per_block)


def _tally_blocks(channel: Channel, problem: SiteProblem, progress: Progress | None) -> list[SiteTally]:
    blocks: dict[int, list[SiteTally]] = {}
    for block, rows in chunks(len(problem.x), problem.positions, BLOCKS):
        tally = tally_rows(channel, problem.x[rows], rows, problem.target, problem.downstream)
        blocks.setdefault(block, []).append(tally)
        if progress:
            progress(rows.stop, len(problem.x))
    return [_sum(tallies) for _, tallies in sorted(blocks.items())]


def _sum(tallies: Iterable[SiteTally]) -> SiteTally:
    several = list(tallies)
    return SiteTally(
        merge(t.usage for t in several),
        merge(t.values for t in several),
        _sum_corrections(t.correction for t in several),
    )


def _sum_corrections(tallies: Iterable[CorrectionTally]) -> CorrectionTally:
    iterator = iter(tallies)
    total = next(iterator)
    for tally in iterator:
        total = total + tally
    return total


def _calibrate(explanation: SiteExplanation, problem: SiteProblem, precision: Precision, rows: int) -> Knobs:
    """Coordinate descent over the two steps, on a first shard; the dictionary's share is scaled to it."""
    data = max(1, min(rows // problem.positions, problem.data))
    shard = slice(0, data * problem.positions)

    def bits(knobs: Knobs) -> float:
        channel = Channel(explanation, problem.delta, knobs).to(problem.x.device)
        tally = tally_rows(channel, problem.x[shard], shard, problem.target, problem.downstream)
        lines = _site_lines(channel, tally, problem)
        parts, rest = lines[0].bits, sum(line.bits for line in lines[1:])
        return parts + rest * problem.data / data

    best = Knobs(8 if precision == "auto" else precision, 2)
    cost = {best: bits(best)}
    for _ in range(2):
        for tried in _ladder(best, precision):
            for knobs in tried:
                cost[knobs] = cost[knobs] if knobs in cost else bits(knobs)
                if cost[knobs] > cost[best]:
                    break
                best = min(best, knobs, key=lambda k: (cost[k], k.precision, k.half_octaves))
    return best


def _ladder(start: Knobs, precision: Precision) -> Iterator[Iterator[Knobs]]:
    """Walks away from the start, one for each direction; a walk ends where the cost rises."""
    for way in (1, -1):
        yield (Knobs(start.precision, start.half_octaves + way * i) for i in range(1, 25))
    if precision == "auto":
        yield (Knobs(p, start.half_octaves) for p in range(start.precision + 1, 17))
        yield (Knobs(p, start.half_octaves) for p in range(start.precision - 1, 1, -1))


def _site_lines(channel: Channel, tally: SiteTally, problem: SiteProblem) -> list[Line]:
    """Parts first, then support, values and correction."""
    support = shortest_support(tally.usage)
    values = shortest_sharing(tally.values, channel.parts)
    sent = channel.sent
    grid = f"{channel.knobs.precision}-bit grid"
    told = values.header + values.bits(tally.values)
    return [
        Line("dictionary", "parts", grid, sent.total(tally.usage.counts), sent.headers(tally.usage.counts)),
        Line("active sets", "support", support.name, support.bits(tally.usage.n), support.header),
        Line("coefficients", "values", values.label, told, values.header),
        *tally.correction.lines(),
    ]


def _site_score(channel: Channel, problem: SiteProblem, per_block: list[SiteTally]) -> Score:
    tally = _sum(per_block)
    n = tally.usage.n
    ways = list(linear_sharings(tally.values, channel.parts))
    law = Law(
        n,
        tally.usage.counts,
        channel.sent.ways,
        channel.sent.header,
        {
            "support": _support_rates(tally.usage, n),
            "values": tuple(Rate(w.label, w.header, w.bits(tally.values) / n) for w in ways),
            **tally.correction.rates(n),
        },
    )
    values = min(ways, key=lambda w: w.header + w.bits(tally.values))
    blocks = (
        _support_shares(tally.usage, [b.usage for b in per_block])
        + np.array([values.bits(b.values) for b in per_block])
        + tally.correction.shares([b.correction for b in per_block])
    )
    return Score(
        Ledger(tuple(_site_lines(channel, tally, problem)), n),
        law,
        blocks,
        np.array([b.usage.n for b in per_block], dtype=np.float64),
        {"precision": channel.knobs.precision, "value_step": channel.step},
        _faithfulness(tally.usage, tally.correction),
        tally.usage,
    )


def _faithfulness(usage: Usage, correction: CorrectionTally) -> dict[str, float]:
    """Readings that come with the bits; units in the names."""
    seen: dict[str, float] = {"l0": usage.mean_size, "alive": float((usage.counts > 0).sum())}
    if isinstance(correction, ResidualTally):
        seen["fvu"] = correction.fvu
    if isinstance(correction, DivergenceTally):
        seen["kl_bits"] = correction.kl
        seen["infinite_rows"] = float(correction.infinite)
    return seen


def _support_rates(usage: Usage, data: int) -> tuple[Rate, ...]:
    scale = usage.n / data
    return tuple(Rate(c.name, c.header, c.per_row * scale) for c in support_costs(usage) if c.linear)


def _support_shares(usage: Usage, blocks: list[Usage]) -> Floats:
    """Bits of each block's support at the frequencies of all."""
    p = np.clip(usage.counts / max(usage.n, 1), 1e-12, 1 - 1e-12)
    on, off = -np.log2(p), -np.log2(1 - p)
    return np.array([float((b.counts * on + (b.n - b.counts) * off).sum()) for b in blocks])


@dataclass(frozen=True, eq=False)
class MechanismProblem:
    """What every explanation of a mechanism is scored on: inputs, the model's outputs, the target.

    ``outputs`` [data, (positions,) width] are the model's own. The receiver knows the inputs and nothing
    of the network.
    """

    inputs: Tensor
    outputs: Tensor
    target: Target

    @property
    def data(self) -> int:
        """n."""
        return len(self.inputs)


@dataclass(frozen=True, eq=False)
class MechanismTally:
    """``data``: which data use a part; ``rows``: which positions; and the correction."""

    data: Usage
    rows: Usage
    correction: CorrectionTally

    def __add__(self, other: MechanismTally) -> MechanismTally:
        return MechanismTally(
            self.data + other.data, self.rows + other.rows, self.correction + other.correction
        )


def score_mechanism(
    explanation: MechanismExplanation,
    problem: MechanismProblem,
    precision: Precision = "auto",
    calibrate_data: int = 64,
    chunk: int = 64,
    progress: Progress | None = None,
) -> Score:
    """Weigh an explanation of how inputs become outputs.

    Parts are paid when first used; the score's ``law`` gives L(N). ``precision`` is bits per number.
    """
    parts = explanation.parts()
    if precision == "auto":
        precision = _precision(explanation, problem, calibrate_data, chunk)
    sent = send_parts(parts, precision)
    per_block = _mechanism_blocks(explanation, sent, problem, chunk, progress)
    return _mechanism_score(sent, per_block, {"precision": precision, "donor": explanation.donor})


def _mechanism_blocks(
    explanation: MechanismExplanation,
    sent: SentParts,
    problem: MechanismProblem,
    chunk: int,
    progress: Progress | None = None,
) -> list[MechanismTally]:
    blocks: dict[int, MechanismTally] = {}
    for block, rows in _data_chunks(problem.data, chunk):
        tally = _mechanism_tally(explanation, sent.restored, problem, rows)
        blocks[block] = blocks[block] + tally if block in blocks else tally
        if progress:
            progress(rows.stop, problem.data)
    return [blocks[b] for b in sorted(blocks)]


def _data_chunks(data: int, chunk: int) -> Iterator[tuple[int, slice]]:
    blocks = max(1, min(BLOCKS, data))
    for block in range(blocks):
        start, stop = block * data // blocks, (block + 1) * data // blocks
        for first in range(start, stop, chunk):
            yield block, slice(first, min(first + chunk, stop))


def _mechanism_tally(
    explanation: MechanismExplanation, restored: Mapping[str, Tensor], problem: MechanismProblem, rows: slice
) -> MechanismTally:
    x = problem.inputs[rows]
    active = explanation.active(restored, x)
    predicted = explanation.predict(restored, x, active)
    correction = problem.target.compare(predicted, problem.outputs[rows])
    flat = active.flatten(0, 1)
    return MechanismTally(Usage.of(active.any(1)), Usage.of(flat), correction)


def _precision(explanation: MechanismExplanation, problem: MechanismProblem, data: int, chunk: int) -> int:
    """The two-part optimum: the precision with the smallest total, judged on the first data."""
    data = min(data, problem.data)
    shard = MechanismProblem(problem.inputs[:data], problem.outputs[:data], problem.target)
    parts = explanation.parts()

    def bits(precision: int) -> float:
        sent = send_parts(parts, precision)
        tally = _mechanism_sum(_mechanism_blocks(explanation, sent, shard, chunk))
        lines = _mechanism_lines(sent, tally)
        return lines[0].bits + sum(line.bits for line in lines[1:]) * problem.data / data

    cost = {8: bits(8)}
    for way in (range(9, 17), range(7, 1, -1)):
        for precision in way:
            cost[precision] = bits(precision)
            if cost[precision] > min(cost.values()):
                break
    return min(cost, key=lambda p: (cost[p], p))


def _mechanism_sum(per_block: list[MechanismTally]) -> MechanismTally:
    total = per_block[0]
    for tally in per_block[1:]:
        total = total + tally
    return total


def _mechanism_lines(sent: SentParts, tally: MechanismTally) -> list[Line]:
    support = shortest_support(tally.rows)
    return [
        Line(
            "mechanism",
            "parts",
            "dyadic grid",
            sent.total(tally.data.counts),
            sent.headers(tally.data.counts),
        ),
        Line("active sets", "support", support.name, support.bits(tally.rows.n), support.header),
        *tally.correction.lines(),
    ]


def _mechanism_score(
    sent: SentParts, per_block: list[MechanismTally], knobs: dict[str, float | int | str]
) -> Score:
    tally = _mechanism_sum(per_block)
    n = tally.data.n
    rates = {"support": _support_rates(tally.rows, n), **tally.correction.rates(n)}
    law = Law(n, tally.data.counts, sent.ways, sent.header, rates)
    blocks = _support_shares(tally.rows, [b.rows for b in per_block])
    blocks = blocks + tally.correction.shares([b.correction for b in per_block])
    return Score(
        Ledger(tuple(_mechanism_lines(sent, tally)), tally.rows.n),
        law,
        blocks,
        np.array([b.data.n for b in per_block], dtype=np.float64),
        knobs,
        _faithfulness(tally.rows, tally.correction),
        tally.rows,
    )
