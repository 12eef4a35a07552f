"""Naive z3 against the ladder on growing random ReLU MLPs: who decides what within the budget, and how fast.

    python benchmarks/proofs_growing.py [SECONDS]

The claim is that the output stays below the largest of many samples plus a margin; it is true or false,
nobody knows beforehand. Naive z3 gets the network as it is, without bounds. Every proof of the ladder was
accepted by the stand-alone checker. Writes benchmarks/results/proofs_growing.json.
"""

from __future__ import annotations

import json
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


def network(inputs: int, depth: int, width: int, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    sizes = [inputs] + [width] * depth
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return Network(
        f"{depth}x{width}", nn.Sequential(*layers, nn.Linear(width, 1)), "regression", "real", (inputs,)
    )


def task(net: Network) -> Claim:
    inputs = net.in_shape[0]
    values = net(torch.rand(100_000, inputs) * 2 - 1)
    bound = float(values.max()) + 0.1 * float(values.max() - values.min())
    return claim(f"f(x)[0] <= {bound:.6f}", {f"x[0..{inputs - 1}]": "real -1..1"}, name=net.name)


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


def naive_z3(net: Network, asked: Claim, seconds: float) -> dict[str, object]:
    graphs = {"f": lower(net.module, net.in_shape)}
    obligation = bind(asked, graphs)
    runs = torch_answers({"f": net}, {"f": net.in_shape})
    search = Search(obligation, exact_answers(graphs), runs, Deadline(seconds), 4 << 30)
    start = time.perf_counter()
    answer = smt.ask(Naive(search).text(), seconds, 4 << 30)
    return {"status": answer.status, "seconds": round(time.perf_counter() - start, 3)}


def ladder(net: Network, asked: Claim, seconds: float) -> dict[str, object]:
    (outcome,) = verify([asked], networks={"f": net}, budget_s=seconds)
    certified = isinstance(outcome.verdict, Proved) and not outcome.verdict.trusted
    return {
        "status": outcome.status,
        "seconds": round(outcome.seconds, 3),
        "certified": certified or (outcome.status == "refuted" and outcome.verdict.certificate is not None),
        "bits": outcome.lengths.certificate_bits,
    }


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    rows = []
    for shape in SHAPES:
        net = network(*shape)
        asked = task(net)
        row = {"network": net.name, "inputs": shape[0], "ladder": ladder(net, asked, seconds)}
        row["float32"] = ladder(net, replace(asked, semantics="float32"), seconds)
        row["naive_z3"] = naive_z3(net, asked, seconds)
        rows.append(row)
        print(json.dumps(row), flush=True)
    results = Path(__file__).parent / "results" / "proofs_growing.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({"budget_s": seconds, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
