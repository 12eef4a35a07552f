"""A known sparse dictionary: what each code takes off the bill of neuron basis, PCA and true dictionary.

    python benchmarks/synthetic_dictionary.py [SAMPLES]

64 dimensions, 256 random unit features, each on with probability .02 at a strength of .5 to 1.5, noise .01,
grid step .02. Two questions, two tables:

1. *Equal distortion*: every coordinate to a cell as wide as the step, wherever the cell's border lies. The
   codes are the simplest: 16 bits a weight, a count and a subset per sample, an adaptive histogram for all
   values of the dictionary (one per coordinate for the bases), a pooled adaptive residual.
2. *The grid*: every coordinate to the same integer, as assay does it, so that all messages restore the same
   thing. From the simplest codes to all codes, one switched on at a time. The steps of the second line are
   those that are best once all codes are on.

Writes benchmarks/results/synthetic_dictionary.txt.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import torch
from assay.mdl import Code, Dictionary, GridTarget, SiteProblem
from assay.mdl.calibrate import calibrate
from assay.mdl.joint import Together
from assay.mdl.keyed import pooled, shortest_sharing, split
from assay.mdl.lengths import kt, log2_binomial
from assay.mdl.residual import shortest_residuals
from assay.mdl.site import Channel, Knobs, SiteTally, steps_told, tally_rows, usage_of
from assay.mdl.streams import CHOICE_BITS, Adaptive, Range
from assay.mdl.support import support_costs
from assay.mdl.tally import Histogram, Usage
from torch import Tensor

WIDTH, FEATURES, P, NOISE, DELTA = 64, 256, 0.02, 0.01, 0.02
VALUE_STEP = 0.05
WEIGHT_BITS = 16


@dataclass(frozen=True)
class Planted:
    """Samples x [n, 64] = a [n, 256] D [256, 64] + noise."""

    x: Tensor
    a: Tensor
    D: Tensor


def planted(samples: int) -> Planted:
    g = torch.Generator().manual_seed(0)
    D = torch.nn.functional.normalize(torch.randn(FEATURES, WIDTH, generator=g, dtype=torch.float64), dim=1)
    on = torch.rand(samples, FEATURES, generator=g) < P
    a = on * (0.5 + torch.rand(samples, FEATURES, generator=g, dtype=torch.float64))
    noise = NOISE * torch.randn(samples, WIDTH, generator=g, dtype=torch.float64)
    return Planted(a @ D + noise, a, D)


def adaptive(symbols: Tensor) -> float:
    """KT over the range of the symbols, the range told."""
    tally = Histogram.of(symbols.long())
    code = Adaptive(Range(int(tally.symbols[0]), int(tally.symbols[-1])))
    return code.header + code.bits(tally)


def equal_distortion(data: Planted) -> dict[str, dict[str, float]]:
    """Bits a sample of the simplest codes, cells of width DELTA in each message's own coordinates."""
    n = len(data.x)
    axes = torch.linalg.eigh((data.x - data.x.mean(0)).T @ (data.x - data.x.mean(0))).eigenvectors
    bases = {"neuron basis": (data.x, 0.0), "PCA": ((data.x - data.x.mean(0)) @ axes, WIDTH * (WIDTH + 1.0))}
    found = {}
    for name, (coordinates, weights) in bases.items():
        values = sum(adaptive((column / DELTA).round()) for column in coordinates.T)
        found[name] = {"parts": weights * WEIGHT_BITS / n, "support": 0.0, "values": values / n}
    sizes = Histogram.of((data.a > 0).sum(1))
    subsets = float((log2_binomial(FEATURES, sizes.symbols) * sizes.counts).sum())
    integers = (data.a / VALUE_STEP).round()
    found["true dictionary"] = {
        "parts": FEATURES * WIDTH * WEIGHT_BITS / n,
        "support": (subsets + kt(sizes.counts, FEATURES + 1)) / n,
        "values": adaptive(integers[data.a > 0]) / n,
        "correction": adaptive(((data.x - integers * VALUE_STEP @ data.D) / DELTA).round()) / n,
    }
    return found


class Told:
    """A dictionary whose coefficients on the data are known."""

    kind, open_ended = "told", False

    def __init__(self, name: str, x: Tensor, a: Tensor, dictionary: Dictionary) -> None:
        self.name, self._dictionary = name, dictionary
        self._a, self._row = a, {row.numpy().tobytes(): i for i, row in enumerate(x)}

    def dictionary(self) -> Dictionary:
        """The rows."""
        return self._dictionary

    def code(self, x: Tensor) -> Code:
        """What is known of these samples."""
        return Code.dense(self._a[[self._row[row.numpy().tobytes()] for row in x]])

    def recipe(self) -> dict[str, object]:
        """None."""
        return {}


def messages(data: Planted) -> list[tuple[Told, float]]:
    """Neuron basis, PCA, true dictionary, each with the step of its simplest values."""
    mean = data.x.mean(0)
    axes = torch.linalg.eigh((data.x - mean).T @ (data.x - mean)).eigenvectors
    identity = Dictionary(None, torch.zeros(WIDTH, dtype=torch.float64))
    return [
        (Told("neuron basis", data.x, data.x, identity), DELTA),
        (Told("PCA", data.x, (data.x - mean) @ axes, Dictionary(axes.T.contiguous(), mean)), DELTA),
        (Told("true dictionary", data.x, data.a, Dictionary(data.D, identity.bias)), VALUE_STEP),
    ]


def tallied(channel: Channel, x: Tensor) -> SiteTally:
    together = Together.worth_counting(1, usage_of(channel.integers(x[:512])))
    shards = (slice(i, min(i + 2048, len(x))) for i in range(0, len(x), 2048))
    return reduce(add, (tally_rows(channel, x[s], s, GridTarget(DELTA), None, together) for s in shards))


def adaptive_bits(tally: Histogram, keys: int) -> float:
    """One adaptive code for all, or one for each key."""
    owner, symbols = split(tally)
    each = (Histogram(symbols[owner == k], tally.counts[owner == k]) for k in range(keys))
    return CHOICE_BITS + min(_kt(pooled(tally)), sum(_kt(mine) for mine in each))


def _kt(tally: Histogram) -> float:
    if not tally.symbols.size:
        return 0.0
    code = Adaptive(Range(int(tally.symbols[0]), int(tally.symbols[-1])))
    return code.header + code.bits(tally)


def support_bits(usage: Usage, names: Container[str]) -> float:
    return min(cost.bits(usage.n) for cost in support_costs(usage) if cost.name in names)


SIMPLE_SUPPORT = ("constant", "enumerative")
INDEPENDENT = (*SIMPLE_SUPPORT, "free", "per-part", "frequencies")
EVERY = (*INDEPENDENT, "dependent", "dependent frequencies")


def stages(explanation: Told, step: float, x: Tensor) -> Iterator[tuple[str, dict[str, float]]]:
    """The bill of one message, a code at a time."""
    weights = explanation.dictionary().rows
    raw = WEIGHT_BITS * (0 if weights is None else weights.numel())
    first = Channel(explanation, DELTA, Knobs(WEIGHT_BITS, round(2 * math.log2(step / DELTA))))
    problem = SiteProblem(x, GridTarget(DELTA), DELTA)
    best = calibrate(explanation, problem, "auto", 512).knobs
    even = Channel(explanation, DELTA, calibrate(explanation, problem, "auto", 512, even=True).knobs)
    told = tallied(first, x)
    bill = {
        "parts": float(raw),
        "support": support_bits(told.usage, SIMPLE_SUPPORT),
        "values": adaptive_bits(told.values, first.parts),
        "correction": adaptive_bits(told.correction.residuals, WIDTH),
    }
    yield "simplest codes", bill
    told = tallied(even, x)
    bill = {
        "parts": even.sent.total(told.usage.counts),
        "support": support_bits(told.usage, SIMPLE_SUPPORT),
        "values": adaptive_bits(told.values, even.parts),
        "correction": adaptive_bits(told.correction.residuals, WIDTH),
    }
    yield "+ precision and step by the total", bill
    yield from _better_codes(bill, told, even.parts)
    finest = Channel(explanation, DELTA, best)
    yield "+ steps of their own for classes of parts", whole_bill(finest, tallied(finest, x))


def _better_codes(
    bill: dict[str, float], told: SiteTally, parts: int
) -> Iterator[tuple[str, dict[str, float]]]:
    values = shortest_sharing(told.values, parts)
    bill = bill | {"values": values.header + values.bits(told.values)}
    yield "+ values: shared by classes, parametric", bill
    bill = bill | {"support": support_bits(told.usage, INDEPENDENT)}
    yield "+ support: a frequency per part", bill
    bill = bill | {"support": support_bits(told.usage, EVERY)}
    yield "+ support: a Chow-Liu tree", bill
    blind = shortest_sharing(told.correction.residuals, WIDTH)
    bill = bill | {"correction": blind.header + blind.bits(told.correction.residuals)}
    yield "+ residual: shared by classes, parametric", bill
    yield "+ residual: by fraction of the prediction", bill | {"correction": _residual_bits(told)}


def _residual_bits(told: SiteTally) -> float:
    way = shortest_residuals(told.correction.placed, WIDTH)
    return way.header + way.bits(told.correction.placed)


def whole_bill(channel: Channel, told: SiteTally) -> dict[str, float]:
    values = shortest_sharing(told.values, channel.parts)
    return {
        "parts": channel.sent.total(told.usage.counts),
        "support": support_bits(told.usage, EVERY),
        "values": values.header + values.bits(told.values) + steps_told(channel.knobs),
        "correction": _residual_bits(told),
    }


def misalignment(explanation: Told, x: Tensor) -> Iterator[str]:
    """What a rotated basis pays for not lying along the grid, at several steps of its values."""
    yield f"{'A rotated basis on the grid: step / delta':44}{'blind':>11}{'by fraction':>13}"
    for half_octaves in (0, 2, 4, 6):
        channel = Channel(explanation, DELTA, Knobs(WEIGHT_BITS, half_octaves))
        told = tallied(channel, x)
        bill = whole_bill(channel, told)
        blind = shortest_sharing(told.correction.residuals, WIDTH)
        residual = blind.header + blind.bits(told.correction.residuals)
        rest = sum(bill.values()) - bill["correction"]
        seeing = sum(bill.values()) / len(x)
        yield f"{2 ** (half_octaves / 2):<44g}{(rest + residual) / len(x):11.2f}{seeing:13.2f}"


SECTIONS = ("parts", "support", "values", "correction")


def row(name: str, bill: dict[str, float], before: float | None = None) -> str:
    total = sum(bill.values())
    lines = "".join(f"{bill.get(section, 0.0):11.2f}" for section in SECTIONS)
    return f"{name:44}{lines}{total:11.2f}" + ("" if before is None else f"{total - before:+11.2f}")


def report(samples: int) -> Iterator[str]:
    data = planted(samples)
    head = "".join(f"{section:>11}" for section in (*SECTIONS, "total"))
    yield f"{samples} samples, {WIDTH} dimensions, {FEATURES} features at {P}, noise {NOISE}, step {DELTA}"
    yield "All figures in bits a sample."
    yield ""
    yield f"{'Equal distortion, simplest codes':44}{head}"
    for name, bill in equal_distortion(data).items():
        yield row(name, bill)
    for explanation, step in messages(data):
        yield ""
        yield f"{'The grid: ' + explanation.name:44}{head}{'change':>11}"
        before = None
        for name, bill in stages(explanation, step, data.x):
            each = {section: bits / samples for section, bits in bill.items()}
            yield row(name, each, before)
            before = sum(each.values())
    yield ""
    yield from misalignment(messages(data)[1][0], data.x)


def main() -> None:
    torch.set_num_threads(1)
    lines = []
    for line in report(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000):
        print(line, flush=True)
        lines.append(line.rstrip())
    results = Path(__file__).parent / "results" / "synthetic_dictionary.txt"
    results.parent.mkdir(exist_ok=True)
    results.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
