"""Is a circuit found by the length of its message shorter than circuits found otherwise?

For each network and level, at N = 10³ and 10⁴ data: L(N) on held-out data of the circuit by minimum bits, of
circuits by magnitude or attribution over a grid of sizes (the best of them), of the whole network and of
nothing at all; each at its best precision. Then how well the ledger that gradients see follows the real one
over cuts of the rankings that others use.

Run: python benchmarks/minimum_bits.py [NETWORK …]; the figures are in benchmarks/results/minimum_bits.txt
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from assay.explanations import (
    Answers,
    WholeNetwork,
    prune_by_attribution,
    prune_by_magnitude,
)
from assay.explanations.circuits import Cut, Donor, Graph, GraphCircuit, cut
from assay.explanations.recipes.edge_attribution import edge_scores
from assay.explanations.recipes.gate_search import SoftLength
from assay.explanations.recipes.minimum_bits import LEVELS, MinimumBitsRecipe, minimum_bits
from assay.mdl import CategoricalTarget, GridTarget, Law, MechanismProblem, score_mechanism
from assay.models import Network, zoo

SIZES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
PRECISIONS = range(2, 13)
COARSE = (3, 6, 9)  # precisions at which every size is tried; the best few get them all
FINE = 3
TRACKED = 4  # bits per number


@dataclass(frozen=True)
class Case:
    """A network of the zoo, its levels, how many data train the gates and score what they found."""

    network: str
    levels: Sequence[Any]
    train: int
    test: int
    delta: float | None
    recipe: MinimumBitsRecipe


CASES = (
    Case("max-of-4", ("weights", "nodes", "edges"), 2000, 512, None, MinimumBitsRecipe()),
    Case("tms-40-10", ("weights",), 2000, 512, 2.0**-6, MinimumBitsRecipe()),
    Case("resid-mlp", ("weights", "nodes"), 2000, 256, 2.0**-6, MinimumBitsRecipe(steps=150)),
    Case("byte-lm", ("nodes", "edges"), 64, 16, None, MinimumBitsRecipe(steps=100)),
)


def main() -> None:
    torch.set_num_threads(1)
    chosen = sys.argv[1:]
    for case in CASES:
        if not chosen or case.network in chosen:
            for level in case.levels:
                compared(case, level)


def compared(case: Case, level: Any) -> None:
    network = zoo.load(case.network)
    train, test = zoo.data(case.network, case.train, 0).inputs, zoo.data(case.network, case.test, 1).inputs
    target = CategoricalTarget() if case.delta is None else GridTarget(case.delta)
    problem = MechanismProblem(test, network(test), target)
    rivals = {name: Scored(made, problem) for name, made in others(network, train, level).items()}
    ends = (WholeNetwork(network), Answers(network, network(train)))
    rivals |= {one.name: Scored([one], problem) for one in ends}
    for N in (1_000, 10_000):
        start = time.perf_counter()
        recipe = MinimumBitsRecipe(**{**vars(case.recipe), "level": level})
        found = minimum_bits(network, train, network(train), N, case.delta, recipe)
        seconds = time.perf_counter() - start
        table = {"minimum bits": Scored([found], problem).shortest(N)}
        table |= {name: scored.shortest(N) for name, scored in rivals.items()}
        told = found.recipe()
        kept = told.get("edges", told.get("nodes"))
        how = f"{kept} of {told['of']} kept by {told['ranking']}, {seconds:.0f} s"
        print(f"{case.network}, {level}, N = {N}: {how}")
        for name, (bits, made) in table.items():
            about = made.recipe().get("keep", "")
            print(f"  {name:24} {bits:12,.0f} bits  {about}", flush=True)
        tracking(network, train, level, N, case.delta)


@torch.no_grad()
def tracking(
    network: Network, x: torch.Tensor, level: str, N: int, delta: float | None, precision: int = 4
) -> None:
    """Correlation of the soft ledger with L(N) over cuts, and how far they differ at most."""
    x = x[:32]
    outputs, pairs = network(x), []
    problem = MechanismProblem(x, outputs, CategoricalTarget() if delta is None else GridTarget(delta))
    length = SoftLength(LEVELS[level](network, x, TRACKED), x, outputs, delta, N)
    for scores in length.gated.rankings().values():
        order = length.flat(scores).argsort(descending=True, stable=True)
        for size in (0.0, 0.03, 0.1, 0.3, 0.6, 0.9, 1.0):
            kept = torch.zeros(len(order), dtype=torch.bool)
            kept[order[: round(size * len(order))]] = True
            soft = float(length(kept.float(), kept.float(), slice(None)))
            circuit = length.gated.circuit(length.named(kept), {})
            pairs.append((soft, score_mechanism(circuit, problem, TRACKED).law(N)))
    table = torch.tensor(pairs, dtype=torch.float64).log()
    r, off = float(torch.corrcoef(table.T)[0, 1]), (table[:, 0] - table[:, 1]).abs()
    print(
        f"  the soft ledger over {len(pairs)} cuts: correlation {r:.4f} of the logarithms, off by "
        f"{float(off.median()):.1%} in the median, {float(off.max()):.1%} at most"
    )


def others(network: Network, inputs: torch.Tensor, level: Any) -> dict[str, list[Any]]:
    """Circuits by other rankings, at many sizes."""
    first = inputs[:32]
    if level == "weights":
        return {"magnitude": [prune_by_magnitude(network, keep) for keep in SIZES]}
    if level == "nodes":
        return {"attribution": [prune_by_attribution(network, first, keep) for keep in SIZES]}
    found: dict[str, list[Any]] = {}
    for start in ("tokens", "stream"):
        graph = Graph.of(network, start)
        told = edge_scores(network, graph, first, Donor(), "eap-ig")
        cuts = [(keep, cut(told, Cut(keep))[0]) for keep in SIZES]
        found[f"eap-ig from {start}"] = [
            GraphCircuit(network, graph, edges, about={"keep": keep}) for keep, edges in cuts
        ]
    return found


@dataclass
class Scored:
    """Explanations of one problem, and the laws of those that were scored, by place and precision."""

    made: Sequence[Any]
    problem: MechanismProblem
    laws: dict[tuple[int, int], Law] = field(default_factory=dict)

    def shortest(self, N: int) -> tuple[float, Any]:
        """L(N) of the best explanation at its best precision, and which it is."""
        rough = {i: min(self.bits(i, p, N) for p in COARSE) for i in range(len(self.made))}
        fine = sorted(rough, key=rough.__getitem__)[:FINE]
        bits, best = min((self.bits(i, p, N), i) for i in fine for p in PRECISIONS)
        return bits, self.made[best]

    def bits(self, place: int, precision: int, N: int) -> float:
        """L(N) of one explanation."""
        key = place, precision
        if key not in self.laws:
            self.laws[key] = score_mechanism(self.made[place], self.problem, precision).law
        return self.laws[key](N)


if __name__ == "__main__":
    main()
