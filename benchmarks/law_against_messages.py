"""The law L(N) against messages that are really encoded: random subsets of N data, parts at first use.

For each zoo model and explanation, subsets of N = 1, 10, 100 and all n data are encoded with the codes
that the law names at that N. Prints the mean ideal length, its standard error, the mean of the real ANS
stream, and L(N).

Run: python benchmarks/law_against_messages.py; writes benchmarks/results/law_against_messages.txt
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from assay.explanations import build
from assay.explanations.subject import Subject
from assay.mdl import GridTarget, Law, MechanismProblem, Parts, score_mechanism
from assay.mdl import wire as on
from assay.mdl.active import Active
from assay.mdl.grid import quantise
from assay.mdl.joint import Together
from assay.mdl.keyed import Sharing, keyed
from assay.mdl.parts import Grid, PartWay, SentParts, send_parts
from assay.mdl.residual import CELLS, linear_residuals, on_grid
from assay.mdl.support import SupportCost, support_costs
from assay.mdl.tally import Ints, Usage
from assay.mdl.transmit_keyed import residual_codes
from assay.mdl.transmit_parts import Told, tensor_told
from assay.mdl.transmit_support import SUPPORTS, parents, support
from assay.mdl.transmit_tree import Tree
from assay.mdl.wire import Sender
from assay.models import load, zoo

CASES = (
    ("tms-5-2", "components,from=truth", 0.05, 8),
    ("tms-40-10", "components,from=truth", 0.05, 8),
    ("tms-40-10", "components,from=svd", 0.05, 8),
    ("resid-mlp", "neurons", 0.1, 6),
)
SIZES = {1: 400, 10: 200, 100: 60}


def main() -> None:
    torch.set_num_threads(1)
    lines = [line for name, text, delta, precision in CASES for line in compare(name, text, delta, precision)]
    results = Path(__file__).parent / "results" / "law_against_messages.txt"
    results.parent.mkdir(exist_ok=True)
    results.write_text("".join(f"{line}\n" for line in lines))


@dataclass(frozen=True)
class Case:
    """A score's law, and everything of all n data that a message about some of them is made of."""

    law: Law
    parts: Parts
    sent: SentParts
    usage: Usage
    active: Ints
    cell: Ints
    residual: Ints

    @property
    def costs(self) -> dict[str, SupportCost]:
        """The codes of the support, fitted to all data."""
        return {cost.name: cost for cost in support_costs(self.usage)}

    @property
    def ways(self) -> list[Sharing]:
        """The codes of the residual, fitted to all data."""
        width = self.residual.shape[1]
        keys = np.arange(width) * CELLS + self.cell
        return list(linear_residuals(keyed(keys.ravel(), self.residual.ravel()), width))


def compare(name: str, text: str, delta: float, precision: int, n: int = 400) -> Iterator[str]:
    """Lines of the table: one for each number of data."""
    network = load(f"zoo:{name}")
    data = zoo.data(name, n, 1)
    outputs = network(data.inputs)
    explanation = build(text, Subject("mechanism", network, data, outputs=outputs))
    problem = MechanismProblem(data.inputs, outputs, GridTarget(delta))
    parts = explanation.parts()
    sent = send_parts(parts, precision)
    active = explanation.active(sent.restored, data.inputs)
    nearest, cell = on_grid(explanation.predict(sent.restored, data.inputs, active), delta)
    case = Case(
        score_mechanism(explanation, problem, precision).law,
        parts,
        sent,
        Together(1, True).usage(active[:, 0]),
        active[:, 0].numpy().astype(np.int64),
        cell.numpy(),
        (quantise(outputs, delta) - nearest).numpy(),
    )
    yield said(f"{name}: {explanation.name}, delta {delta}, {precision}-bit parts, n = {n}")
    rng = np.random.default_rng(0)
    for N in (*SIZES, n):
        subsets = [rng.choice(n, N, replace=False) for _ in range(SIZES.get(N, 1))]
        lengths = np.array([encode(case, subset) for subset in subsets])
        yield said(report(N, case.law, lengths))


def said(line: str) -> str:
    print(line, flush=True)
    return line


def report(N: int, law: Law, lengths: np.ndarray) -> str:
    ideal, real = lengths.mean(0)
    error = lengths[:, 0].std(ddof=1) / math.sqrt(len(lengths)) if len(lengths) > 1 else 0.0
    off = (ideal - law(N)) / error if error else ideal - law(N)
    unit = "standard errors" if error else "bits"
    codes = law.at(N).codes
    return (
        f"  N = {N:4d}: L(N) {law(N):11.1f}   mean of {len(lengths):3d} messages {ideal:11.1f} ± {error:6.1f}"
        f"   off by {off:+.2f} {unit}   ANS stream {real:11.0f}   {codes['support']}; {codes['residual']}"
    )


def encode(case: Case, subset: Ints) -> tuple[float, float]:
    """Ideal and real length of a message about some data, with the codes that the law names."""
    active, sender = case.active[subset], Sender()
    codes = case.law.at(len(active)).codes
    on.natural(sender, np.array([case.sent.precision]), 1)
    told_support(sender, case, codes["support"], active)
    used, before = np.append(active.any(0), True), list[Grid]()
    for i, way in enumerate(cheapest(case.law, len(active))):
        told = Told(way, case.sent.grids[i])
        before.append(tensor_told(sender, case.parts, i, case.sent.precision, used, told, before))
    rate = min(case.law.rates["residual"], key=lambda r: r.at(len(active)))
    named = (way for way in case.ways if way.label == codes["residual"])
    way = min(named, key=lambda way: abs(way.header - rate.header))
    told_codes = residual_codes(sender, way, case.residual.shape[1])
    told_codes.told(sender, case.cell[subset], case.residual[subset])
    return sender.bits, 32.0 * len(sender.words())


def told_support(sender: Sender, case: Case, name: str, active: Ints) -> None:
    """Codes with frequencies tell those of all n data once, then these data at those frequencies."""
    if name not in ("frequencies", "dependent frequencies"):
        costs = {cost.name: cost for cost in support_costs(Usage.of(active))}
        support(sender, Active.of(active > 0), costs[name], *active.shape)
        return
    sender.uniform(np.array([SUPPORTS.index(name)]), 8, 1)
    if name == "frequencies":
        frequencies(sender, case.law, active)
        return
    tree = case.costs[name].dependence
    assert tree is not None
    told, positions = parents(sender, tree, active.shape[1])
    counts = Tree(told, positions, case.law.n).counts(sender, tree)
    Tree(told, positions, len(active)).at(sender, Active.of(active > 0), *counts)


def frequencies(sender: Sender, law: Law, active: Ints) -> None:
    """The counts of all n data, then these data at those frequencies."""
    on.natural(sender, np.array([law.n]), 1)
    on.natural(sender, law.usage + 1, law.usage.size)
    open_parts = np.nonzero((law.usage > 0) & (law.usage < law.n))[0]
    p = law.usage[open_parts] / law.n
    sender.bernoulli(active[:, open_parts].ravel(), np.tile(p, len(active)))


def cheapest(law: Law, N: int) -> Iterator[PartWay]:
    from assay.mdl.law import used

    probability = np.append(used(law.n, law.usage, N), 1.0)
    for ways in law.parts:
        yield min(ways, key=lambda way: way.total(probability))


if __name__ == "__main__":
    main()
