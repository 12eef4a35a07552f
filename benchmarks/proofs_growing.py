"""z3, naive and after bounds, against the ladder: who decides what within the budget, and how fast.

    python benchmarks/proofs_growing.py [SECONDS]

Random ReLU MLPs that grow, and one whose box grows, so that ever more of its ReLUs are unstable. The claim is
that the output stays below the largest of many samples plus a margin; it is true or false, nobody knows
beforehand. Naive z3 gets the network as it is, without bounds; z3 after bounds gets ReLUs of known sign as
affine, and triangles for the others. Every proof of the ladder was accepted by the stand-alone checker, and
its seconds hold that check. Writes benchmarks/results/proofs_growing.txt.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from assay.models import Network
from assay.proofs import Claim, Proved, claim, verify
from assay.proofs.lowering import lower
from assay.proofs.obligations import bind
from assay.proofs.replay import exact_answers, torch_answers
from assay.proofs.search import Deadline, Search
from assay.proofs.stages import smt
from torch import nn

SHAPES = [(4, 2, 8), (4, 2, 10), (4, 2, 12), (5, 2, 20), (5, 3, 20), (5, 4, 30), (5, 6, 50)]
GROWING = [(5, 3, 20, radius) for radius in (0.05, 0.1, 0.2, 0.4, 0.7)]
ROW = "{:10} {:>8} {:>9} {:>20} {:>20} {:>20} {:>20}"


def network(inputs: int, depth: int, width: int, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    sizes = [inputs] + [width] * depth
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return Network(
        f"{depth}x{width}", nn.Sequential(*layers, nn.Linear(width, 1)), "regression", "real", (inputs,)
    )


def task(net: Network, radius: float = 1.0) -> Claim:
    inputs = net.in_shape[0]
    values = net((torch.rand(100_000, inputs) * 2 - 1) * radius)
    bound = float(values.max()) + 0.1 * float(values.max() - values.min())
    return claim(
        f"f(x)[0] <= {bound:.6f}", {f"x[0..{inputs - 1}]": f"real -{radius}..{radius}"}, name=net.name
    )


class Naive(smt.Encoding):
    """The network as z3 sees it when nobody helps: no bounds, no triangles."""

    def __init__(self, search: Search) -> None:
        super().__init__(search)
        wide = {k: (torch.full_like(a, -1e30), torch.full_like(b, 1e30)) for k, (a, b) in self.all().items()}
        self.bounds.intervals.update(wide)

    def all(self) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        """Bounds of every step."""
        program = self.search.obligation.program
        return {k: self.bounds.interval(k) for k in range(1, len(program.steps))}


def z3(net: Network, asked: Claim, seconds: float, encoding: type[smt.Encoding]) -> tuple[str, float, int]:
    """Status, seconds, and the number of ReLUs whose sign bounds leave open."""
    graphs = {"f": lower(net.module, net.in_shape)}
    obligation = bind(asked, graphs)
    runs = torch_answers({"f": net}, {"f": net.in_shape})
    search = Search(obligation, exact_answers(graphs), runs, Deadline(seconds), 4 << 30)
    start = time.perf_counter()
    made = encoding(search)
    answer = smt.ask(made.text(), seconds, 4 << 30)
    found = {"unsat": "proved", "sat": "refuted"}.get(answer.status, "unknown")
    return found, time.perf_counter() - start, made.unstable


def ladder(net: Network, asked: Claim, seconds: float) -> tuple[str, float]:
    """Status and seconds; a proof that the checker has not accepted is none."""
    (outcome,) = verify([asked], networks={"f": net}, budget_s=seconds)
    trusted = isinstance(outcome.verdict, Proved) and outcome.verdict.trusted
    return "unknown" if trusted else outcome.status, outcome.seconds


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    head = ("network", "radius", "unstable", "ladder, real", "ladder, float32", "z3 after bounds", "naive z3")
    lines = [f"{seconds:.0f} s of wall time each", ROW.format(*head)]
    times: list[tuple[float, float]] = []
    for *shape, radius in [*((*shape, 1.0) for shape in SHAPES), *GROWING]:
        net = network(*shape)
        asked = task(net, radius)
        ours, single = (ladder(net, replace(asked, semantics=s), seconds) for s in ("real", "float32"))
        bounded, naive = (z3(net, asked, seconds, encoding) for encoding in (smt.Encoding, Naive))
        cells = (f"{status} {spent:7.2f} s" for status, spent, *_ in (ours, single, bounded, naive))
        lines.append(ROW.format(net.name, radius, bounded[2], *cells))
        print(lines[-1], flush=True)
        if "unknown" not in (ours[0], naive[0]):
            times.append((ours[1], naive[1]))
    ratios = sorted(theirs / ours for ours, theirs in times)
    lines.append(
        f"naive z3 over the ladder, in time, where both finish: {', '.join(f'{r:.1f}' for r in ratios)}"
    )
    print(lines[-1])
    results = Path(__file__).parent / "results" / "proofs_growing.txt"
    results.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
