"""What float32 proofs are worth: runs at the boundary of proved claims, refutations, and networks that trap.

    python benchmarks/proofs_float32.py [--runs 10000000] [--refutations 200] [--claims 24]

*Proofs.* Random networks of several kinds, of which some work with numbers far larger than their outputs.
For each, the smallest bound of the output is sought that is proved under "float32": the margin above the
largest of 20,000 samples starts at 1e-7 of their spread and doubles until there is a proof. Then the network
is run in float32 on points near where it is largest, and on the faces of its scope, in every way of
float32_ways.py: a proof holds for any order of summation, with and without fused multiply-add. A run above
the bound would contradict the proof.

*Refutations.* Random claims that are false on part of their scope, whose ends are decimals that no float32
is, some narrow, some with a condition, some over whole numbers. A witness counts if each of its inputs is a
float32 in scope, by exact comparison, and torch, run once more here, breaks the claim there.

*Traps.* relu(x + 2^25) - 2^25, which is x over the reals and 0 in float32 for x = .3; and a detector of equal
numbers up to N, which is right over the reals for every N.

Writes benchmarks/results/proofs_float32.txt.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import torch
from assay.models import Network
from assay.proofs import Claim, Proved, Refuted, Unknown, claim, verify
from float32_ways import WAYS, Layers, run
from torch import Tensor, nn

RESULT = Path(__file__).parent / "results" / "proofs_float32.txt"
BUDGET_S = 5.0


@dataclass(frozen=True)
class Case:
    """A network, the scope of its inputs as text and as exact ends, and a condition."""

    name: str
    layers: Layers
    domain: str
    lo: Fraction
    hi: Fraction
    whole: bool = False
    given: str | None = None

    @property
    def inputs(self) -> int:
        """How many."""
        return self.layers[0][0].shape[1]

    def network(self) -> Network:
        """As torch runs it."""
        module: list[nn.Module] = []
        for weight, bias in self.layers:
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            module += [linear, nn.ReLU()]
        kind = "integer" if self.whole else "real"
        return Network(self.name, nn.Sequential(*module[:-1]), "regression", kind, (self.inputs,))

    def asked(self, show: str) -> Claim:
        """A claim on this scope."""
        variables = {f"x{i}": self.domain for i in range(self.inputs)}
        return claim(show, variables, given=self.given, semantics="float32", name=self.name)

    @property
    def call(self) -> str:
        """The network at the variables."""
        return f"f({', '.join(f'x{i}' for i in range(self.inputs))})"

    def inside(self, x: Tensor) -> Tensor:
        """Points moved into the scope; the ends are rounded inward."""
        if self.given is not None:
            x = x[:, :1].expand(-1, self.inputs)
        x = x.round() if self.whole else x
        return x.clamp(upward(self.lo), -upward(-self.hi)).contiguous()


def upward(value: Fraction) -> float:
    """The smallest float32 that is at least `value`."""
    near = torch.tensor(float(value))
    return (near if Fraction(near.item()) >= value else torch.nextafter(near, torch.tensor(torch.inf))).item()


def uniform(widths: list[int], seed: int) -> Layers:
    """As torch initialises."""
    torch.manual_seed(seed)
    made = [nn.Linear(a, b) for a, b in pairwise(widths)]
    return [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in made]


def shifted(layers: Layers, by: float) -> Layers:
    """The same function over the reals, but for rounding of the shift: hidden units are `by` larger, and what
    reads them takes it away."""
    made = [(weight, bias.clone()) for weight, bias in layers]
    for (_, bias), (weight, after) in pairwise(made):
        bias += by
        after -= by * weight.sum(1)
    return made


def detector(limit: int) -> Case:
    """1 on equal whole numbers up to `limit`, 0 on others, over the reals: four mixtures of both, their
    difference put together again, and a tent over it. All weights are dyadic numbers of few bits."""
    rng = random.Random(0)
    mix = [(rng.randint(1, 63) / 64, rng.randint(1, 63) / 64) for _ in range(2)]
    back = [rng.choice((-1, 1)) * rng.randint(1, 31) / 64 for _ in mix]
    sums = [sum(c * pair[side] for c, pair in zip(back, mix, strict=True)) for side in (0, 1)]
    rows = torch.tensor([*mix, (1.0, 0.0), (0.0, 1.0)])
    line = torch.tensor([*back, 1 - sums[0], -1 - sums[1]])
    layers = [
        (rows, torch.zeros(4)),
        (line.expand(3, -1).clone(), torch.tensor([1.0, 0.0, -1.0])),
        (torch.tensor([[1.0, -2.0, 1.0]]), torch.zeros(1)),
    ]
    told = f"integer 0..{limit}"
    return Case(f"equal up to {limit:,}", layers, told, Fraction(0), Fraction(limit), True, "x0 == x1")


def proved_cases(count: int) -> Iterator[Case]:
    """Networks by number; the kinds take turns."""
    for seed in range(count):
        rng = random.Random(seed)
        n, depth, width = rng.randint(1, 4), rng.randint(1, 4), rng.choice((4, 8, 12, 16))
        layers = uniform([n, *[width] * depth, 1], seed)
        lo, hi = Fraction(rng.randint(-30, -1), 30), Fraction(rng.randint(1, 30), 30)
        box = f"real {lo}..{hi}"
        kind = ("plain", "shifted by 100", "shifted by 10000", "whole numbers to 3000")[seed % 4]
        if kind.startswith("shifted"):
            yield Case(kind, shifted(layers, float(kind.split()[-1])), box, lo, hi)
        elif kind == "plain":
            yield Case(kind, layers, box, lo, hi)
        else:
            yield Case(kind, layers, "integer -3000..3000", Fraction(-3000), Fraction(3000), True)


def largest(case: Case, rng: torch.Generator, near: int = 64) -> Tensor:
    """Points where the output is largest, by a random local search."""
    lo, hi = float(case.lo), float(case.hi)
    x = case.inside(lo + (hi - lo) * torch.rand(20_000, case.inputs, generator=rng))
    for k in range(30):
        best = x[run(case.layers, x).argsort(descending=True)[:near]]
        step = (hi - lo) * 0.5 * 0.6**k * torch.randn(15, *best.shape, generator=rng)
        x = torch.cat([best, case.inside((best + step).flatten(0, 1))])
    return x[run(case.layers, x).argsort(descending=True)[:near]]


def crowd(case: Case, best: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Points close to the best ones, a few units in the last place to a thousandth of the scope off; and
    points of the scope of which some coordinates lie on its ends."""
    chosen = best[torch.randint(len(best), (count,), generator=rng)]
    off = torch.randn(count, case.inputs, generator=rng) * 10 ** (
        -7 + 4 * torch.rand(count, 1, generator=rng)
    )
    close = chosen + off * (chosen.abs() + float(case.hi - case.lo) * (torch.arange(count) % 2)[:, None])
    lo, hi = float(case.lo), float(case.hi)
    spread = lo + (hi - lo) * torch.rand(count // 4, case.inputs, generator=rng)
    ends = torch.randint(4, spread.shape, generator=rng)
    faces = torch.where(ends == 0, lo, torch.where(ends == 1, hi, spread))
    return case.inside(torch.cat([close, faces]))


def tightest(case: Case) -> tuple[Fraction, float, Tensor] | None:
    """The smallest bound that is proved, its margin over the largest sample, and where that is."""
    best = largest(case, torch.Generator().manual_seed(1))
    values = run(case.layers, torch.cat([best, crowd(case, best, 20_000, torch.Generator().manual_seed(2))]))
    top, spread = float(values.max()), float(values.max() - values.min())
    margin = max(1e-7 * spread, 1e-9)
    for _ in range(40):
        bound = Fraction(f"{top + margin:.12g}")
        asked = case.asked(f"{case.call}[0] <= {bound.numerator}/{bound.denominator}")
        (outcome,) = verify([asked], networks={"f": case.network()}, budget_s=BUDGET_S)
        if isinstance(outcome.verdict, Proved) and not outcome.verdict.trusted:
            return bound, float(bound) - top, best
        margin *= 2
    return None


def proofs(count: int, runs: int) -> Iterator[str]:
    """Run proved claims at their boundary."""
    heads = ("inputs", "ReLUs", "bound", "margin", "closest", "above")
    yield "{:26}{:>8}{:>8}{:>14}{:>10}{:>10}{:>8}".format("proved claims", *heads)
    cases = [*proved_cases(count), detector(100_000)]
    each, total, above, orders = -(-runs // (len(cases) * len(WAYS))), 0, 0, 0.0
    for case in cases:
        found = tightest(case)
        if found is None:
            yield f"{case.name:26} nothing was proved"
            continue
        bound, margin, best = found
        x = crowd(case, best, each * 4 // 5 + 1, torch.Generator().manual_seed(3))
        ran = {way: runner(case.layers, x) for way, runner in WAYS.items()}
        most = max(float(values.max()) for values in ran.values())
        # the largest float32 that does not break the claim
        over = sum(int((values.double() > -upward(-bound)).sum()) for values in ran.values())
        different = torch.stack(list(ran.values()))
        orders = max(orders, float((different.amax(0) != different.amin(0)).float().mean()))
        total, above = total + different.numel(), above + over
        relus = sum(len(bias) for _, bias in case.layers[:-1])
        row = f"{case.name:26}{case.inputs:8}{relus:8}{float(bound):14.7g}{margin:10.1e}"
        yield f"{row}{float(bound) - most:10.1e}{over:8}"
    yield f"runs above a bound that was proved: {above} of {total:,}, in {len(WAYS)} ways: {', '.join(WAYS)}"
    yield f"points on which the ways differ: up to {orders:.0%} of those of a network"


def refuted_cases(count: int) -> Iterator[tuple[Case, str]]:
    """Claims that are false somewhere."""
    for seed in range(count):
        rng = random.Random(10_000 + seed)
        n = rng.randint(1, 5)
        layers = uniform([n, *[rng.choice((4, 8, 16))] * rng.randint(1, 3), 2], seed)
        kind = ("wide", "narrow", "given", "whole")[seed % 4]
        middle, radius = Fraction(rng.randint(-99, 99), 70), Fraction(rng.randint(1, 99), 70)
        radius = radius / 10**6 if kind == "narrow" else radius
        lo, hi = (Fraction(-50), Fraction(50)) if kind == "whole" else (middle - radius, middle + radius)
        domain = "integer -50..50" if kind == "whole" else f"real {lo}..{hi}"
        total = " + ".join(f"x{i}" for i in range(n))
        given = f"{total} <= {n * (lo + hi) / 2}" if kind == "given" else None
        case = Case(kind, layers, domain, lo, hi, kind == "whole", given)
        plain = Case(kind, layers, domain, lo, hi, kind == "whole")
        x = plain.inside(
            float(lo) + float(hi - lo) * torch.rand(5000, n, generator=torch.Generator().manual_seed(seed))
        )
        if given:
            x = x[x.double().sum(1) <= float(n * (lo + hi) / 2)]
        values = case.network()(x)[:, 0].sort().values
        bound = Fraction(values[int(len(values) * rng.uniform(0.5, 0.999))].item())
        yield case, f"{case.call}[0] < {bound.numerator}/{bound.denominator}"


def refutations(count: int) -> Iterator[str]:
    """Look at the witnesses of claims that are false."""
    found = Counter[str]()
    for case, show in refuted_cases(count):
        network = case.network()
        asked = case.asked(show)
        (outcome,) = verify([asked], networks={"f": network}, budget_s=BUDGET_S)
        found[outcome.status] += 1
        if isinstance(outcome.verdict, Refuted):
            inputs = [outcome.verdict.witness.inputs[f"x{i}"] for i in range(case.inputs)]
            bound = Fraction(show.split("< ")[1])
            found["good"] += in_scope(case, inputs) and not breaks_nothing(network, inputs, bound)
            found["certified"] += outcome.verdict.certificate is not None
    yield f"claims that are false somewhere: {count}"
    verdicts = ", ".join(f"{n} {status}" for status, n in sorted(found.items()) if status in STATUSES)
    yield f"verdicts: {verdicts}"
    good = f"{found['good']} of {found['refuted']}"
    yield f"refutations at float32 points in scope where torch breaks the claim: {good}"
    yield f"refutations with a certificate: {found['certified']} of {found['refuted']}"


STATUSES = ("proved", "refuted", "unknown")


def in_scope(case: Case, inputs: list[Fraction]) -> bool:
    """Exactly, and every input a float32."""
    single = all(Fraction(torch.tensor(float(v)).item()) == v for v in inputs)
    inside = all(case.lo <= v <= case.hi and (not case.whole or v.denominator == 1) for v in inputs)
    return single and inside and (case.given is None or sum(inputs) <= Fraction(case.given.split("<= ")[1]))


def breaks_nothing(network: Network, inputs: list[Fraction], bound: Fraction) -> bool:
    """Whether torch says that the claim holds there."""
    return Fraction(network(torch.tensor([[float(v) for v in inputs]]))[0, 0].item()) < bound


def traps() -> Iterator[str]:
    """Networks of which exact arithmetic says what torch does not do."""
    one = torch.ones(1, 1)
    far = Case(
        "trap",
        [(one, torch.tensor([2.0**25])), (one, torch.tensor([-(2.0**25)]))],
        "real 0.25..0.5",
        Fraction(1, 4),
        Fraction(1, 2),
    )
    for semantics in ("real", "float32"):
        asked = claim(f"abs({far.call}[0] - x0) <= 0.01", {"x0": far.domain}, semantics=semantics)
        yield f"relu(x + 2^25) - 2^25 is x within .01, {semantics}: {verdict(asked, far)}"
    yield f"  torch at .3: {far.network()(torch.tensor([[0.3]])).item()}"
    for limit in (100_000, 1_000_000):
        case = detector(limit)
        for semantics in ("real", "float32"):
            asked = claim(
                f"{case.call}[0] > 1/2",
                {"x0": case.domain, "x1": case.domain},
                given=case.given,
                semantics=semantics,
            )
            yield f"equal numbers up to {limit:,} are found, {semantics}: {verdict(asked, case)}"
        t = torch.arange(limit + 1, dtype=torch.float32)[:, None].expand(-1, 2)
        least = min(float(way(case.layers, t).min()) for way in WAYS.values())
        yield f"  least answer on the diagonal in {len(WAYS)} ways: {least:.3f}"


def verdict(asked: Claim, case: Case) -> str:
    """The verdict, with its reason where it is unknown."""
    (outcome,) = verify([asked], networks={"f": case.network()}, budget_s=30.0)
    if isinstance(outcome.verdict, Unknown):
        return f"unknown: {outcome.verdict.reason}"
    if isinstance(outcome.verdict, Refuted):
        x, y = outcome.verdict.witness.inputs["x0"], next(iter(outcome.verdict.witness.outputs.values()))
        return f"refuted at {float(x)}, where torch answers {y[0]}"
    return outcome.status


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--claims", type=int, default=24)
    parser.add_argument("--refutations", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    start, lines = time.monotonic(), list[str]()
    parts = (traps(), refutations(options.refutations), proofs(options.claims, options.runs))
    for part in parts:
        for line in part:
            print(line, flush=True)
            lines.append(line)
        lines.append("")
    print(f"{time.monotonic() - start:.0f} s")
    RESULT.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
