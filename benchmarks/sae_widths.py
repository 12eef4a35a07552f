"""SAEs of several widths on byte-lm: bits a token at equal downstream KL, and which is shortest for how much.

    python benchmarks/sae_widths.py [SEQUENCES]

Every SAE is told at several numbers of active features and several steps of their coefficients. An operating
point costs its dictionary once (rows that are used, 8-bit entries) and its support and coefficients on every
token; KL(model ‖ network on what was told) is measured on the same tokens. For N tokens a point takes
parts / N + rate bits a token, and a width the lower convex hull of its points, read at a level of KL.
Intervals: 95 % block bootstrap over 32 stretches of sequences, the same for all widths. Writes
benchmarks/results/sae_widths.txt.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from assay.explanations import SAESite, gather
from assay.explanations.sae.folding import sparser
from assay.explanations.sae.shipped import SITE, shipped_sae
from assay.explanations.weighing import Question, site_problem
from assay.mdl import CategoricalTarget, Frontier, OperatingPoint, SiteProblem
from assay.mdl.joint import Together
from assay.mdl.keyed import keyed, shortest_sharing
from assay.mdl.score import support_shares
from assay.mdl.site import Channel, Knobs, chunks, usage_of
from assay.mdl.tally import merge
from assay.models import load, load_dataset

NAMES = ("byte-lm-sae-256", "byte-lm-sae-1024", "byte-lm-sae-2048", "byte-lm-switch-768")
ACTIVE = (4, 8, 16, 24)
HALF_OCTAVES = range(2, 11, 2)
PRECISION = 8
SIZES = (10**4, 10**6, 10**9)
LEVELS = (0.1, 0.2, 0.3, 0.4)
DRAWS = 200


@dataclass(frozen=True)
class Point:
    """One operating point: bits once, and by block: bits, KL in bits, tokens."""

    knob: str
    parts: float
    bits: np.ndarray
    kl: np.ndarray
    tokens: np.ndarray

    def at(self, N: float, weight: np.ndarray) -> OperatingPoint:
        """Bits a token for N tokens and KL, with blocks drawn so often."""
        n = float(self.tokens @ weight)
        told, lost = float(self.bits @ weight) / n, float(self.kl @ weight) / n
        return OperatingPoint(self.knob, 0.0, PRECISION, self.parts / N + told, kl=lost)


def point(channel: Channel, codes: list, problem: SiteProblem, where: list, knob: str) -> Point:
    sent = [channel.rounded(code) for code in codes]
    together = Together(problem.positions, pairs=True)
    usages = [usage_of(code, together) for code in sent]
    values = [keyed(code.part, code.value) for code in sent]
    usage, every = merge(usages), merge(values)
    way = shortest_sharing(every, channel.parts, frozen=True)
    bits = support_shares(usage, usages) + np.array([way.bits(v) for v in values])
    kl = []
    for code, rows in zip(sent, where, strict=True):
        predicted, truth = problem.downstream(channel.predict(code), rows)
        kl.append(CategoricalTarget().compare(predicted, truth).kl * (rows.stop - rows.start))
    tokens = np.array([rows.stop - rows.start for rows in where], dtype=np.float64)
    return Point(knob, channel.sent.total(usage.counts) + way.header, bits, np.array(kl), tokens)


def points(name: str, problem: SiteProblem) -> list[Point]:
    where = [rows for _, rows in chunks(len(problem.x), problem.positions, 32)]
    found = []
    for k in ACTIVE:
        explanation = SAESite(sparser(shipped_sae(name), k), sample=problem.x[:])
        codes = [explanation.code(problem.x[rows]) for rows in where]
        first = Channel(explanation, problem.delta, Knobs(PRECISION, 0))
        for h in HALF_OCTAVES:
            found.append(point(first.stepped(h), codes, problem, where, f"k={k}, step 2^{h / 2:g} delta"))
        print(name, k, flush=True)
    return found


def bits_at(found: list[Point], N: float, level: float, weight: np.ndarray) -> float:
    """Bits a token on the hull of a width's points, inf below what it can reach."""
    return Frontier("", tuple(p.at(N, weight) for p in found)).bits_at("kl", level)


def with_interval(found: list[Point], N: float, level: float, draws: np.ndarray) -> str:
    middle = bits_at(found, N, level, np.ones(draws.shape[1]))
    if not np.isfinite(middle):
        return "out of reach"
    drawn = [bits_at(found, N, level, weight) for weight in draws]
    low, high = np.percentile(drawn, [2.5, 97.5], method="nearest")  # inf where a draw cannot reach it
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def break_evens(a: list[Point], b: list[Point], level: float) -> list[str]:
    """The numbers of tokens at which the shorter of two widths becomes the longer one."""
    one = np.ones(len(a[0].tokens))
    sizes = np.geomspace(1e2, 1e10, 321)
    gap = np.array([bits_at(a, N, level, one) - bits_at(b, N, level, one) for N in sizes])
    if not np.isfinite(gap).all():
        return []
    return [f"{sizes[i]:.1e}" for i in np.nonzero(gap[1:] * gap[:-1] < 0)[0]]


def shortest(told: dict[str, list[Point]], N: float, level: float, weight: np.ndarray) -> str:
    bits = {name: bits_at(found, N, level, weight) for name, found in told.items()}
    best = min(bits, key=lambda name: bits[name])
    return best if np.isfinite(bits[best]) else "none"


def table(told: dict[str, list[Point]], draws: np.ndarray) -> list[str]:
    lines = []
    for level in LEVELS:
        lines.append(f"\nat KL {level} bits a token" + "".join(f"{f'N = {N:.0e}':>28}" for N in SIZES))
        for name, found in told.items():
            cells = (with_interval(found, N, level, draws) for N in SIZES)
            lines.append(f"  {name:<24}" + "".join(f"{cell:>28}" for cell in cells))
        cells = (shortest(told, N, level, np.ones(draws.shape[1])) for N in SIZES)
        lines.append(f"  {'shortest':<24}" + "".join(f"{name:>28}" for name in cells))
        names = list(told)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                if crossed := break_evens(told[a], told[b], level):
                    lines.append(f"  {a} and {b} break even at {', '.join(crossed)} tokens")
    return lines


def main() -> None:
    torch.set_num_threads(1)
    sequences = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    network = load("zoo:byte-lm")
    data = load_dataset("zoo", network, limit=sequences)
    question = Question("site", "outputs", SITE)
    problem = site_problem(gather(question, network, data))
    told = {name: points(name, problem) for name in NAMES}
    blocks = len(next(iter(told.values()))[0].tokens)
    generator = np.random.default_rng(0)
    draws = generator.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS).astype(np.float64)
    head = (
        f"byte-lm at {SITE}, {len(problem.x)} tokens of {sequences} held-out sequences, 8-bit dictionaries\n"
        "bits a token at equal downstream KL: dictionary / N + support + coefficients; 95 % intervals"
    )
    text = "\n".join([head, *table(told, draws)]) + "\n"
    print(text)
    (Path(__file__).parent / "results" / "sae_widths.txt").write_text(text)


if __name__ == "__main__":
    main()
