"""Circuits found by the length of their message: gates are trained on a differentiable ledger, then scored.

For N data the loss is the bits of what the gates keep, as tables of counts price them, and N times the bits
of correction per datum: KL at a classifier, for each coordinate of a regression the entropy of a residual
that is zero or Laplace. Weights are rounded in the search as they will be when they are sent. Gates learn
from two starts: all open, and the best cut of the rankings that others prune by (attribution, magnitude).
All rankings, theirs and the gates', are then cut at many sizes, nothing and everything among them; the most
promising are scored as any explanation is, the size of the shortest is refined by golden section, and the
shortest of all is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
from assay.explanations.circuits.graph import Graph
from assay.explanations.errors import ExplanationError
from assay.explanations.whole import WholeNetwork
from assay.mdl import (
    CategoricalTarget,
    GridTarget,
    MechanismExplanation,
    MechanismProblem,
    Target,
    score_mechanism,
)
from assay.models import Network
from assay.models.units import unit_sites
from assay.models.zoo import AdamW, Progress, minimise
from torch import Tensor

from .gate_search import GateSearch, SoftLength
from .gated import Gated, GatedEdges, GatedUnits, GatedWeights

Level = Literal["weights", "nodes", "edges", "any"]
LEVELS: dict[str, Any] = {"weights": GatedWeights, "nodes": GatedUnits, "edges": GatedEdges}
SIZES, SMALLEST = 14, 1e-3
SCORED, SCORED_ROWS, LEAST_DATA = 256, 8192, 8
MIDDLE = (0.05, 0.6)  # shares of gates that a start keeps: from fewer nothing opens again
FINALISTS, REFINEMENTS = 3, 5
PRECISIONS = (2, 4, 6, 8, 10, 12)
TRAINED = 2  # precisions
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class MinimumBitsRecipe:
    """Constants: what is gated, steps and rate of AdamW, outputs per step (of at least eight data)."""

    level: Level = "weights"
    steps: int = 300
    lr: float = 0.2
    batch: int = 256
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Cut:
    """The first ``count`` gates in an order, and what the soft ledger says of them."""

    order: Tensor
    count: int
    ranking: str
    precision: int
    soft: float

    def kept(self) -> Tensor:
        """Which gates are open [gates]."""
        mask = torch.zeros(len(self.order), dtype=torch.bool, device=self.order.device)
        mask[self.order[: self.count]] = True
        return mask


def minimum_bits(
    network: Network,
    inputs: Tensor,
    outputs: Tensor,
    n_data: int = 1000,
    delta: float | None = None,
    recipe: MinimumBitsRecipe | None = None,
    progress: Progress | None = None,
) -> MechanismExplanation:
    """The circuit whose message about ``n_data`` data is shortest, of those that gates and others rank.

    ``inputs`` [n, …] and the network's ``outputs`` on them are what it is trained on; a regression needs the
    grid step ``delta`` of its outputs. Level ``any`` tries every level that the network has. Raises
    :class:`ExplanationError`.
    """
    recipe = recipe or MinimumBitsRecipe()
    if n_data < 1 or recipe.level not in get_args(Level):
        raise ExplanationError(
            f"minimum bits for {n_data} data at level {recipe.level!r}: expected at least one datum, "
            f"and a level of {', '.join(get_args(Level))}"
        )
    if network.output != "categorical" and delta is None:
        raise ExplanationError(
            f"minimum bits: {network.name!r} is a regression, so the grid step delta is needed"
        )
    target = CategoricalTarget() if delta is None or network.output == "categorical" else GridTarget(delta)
    told = inputs.to(network.device), outputs.to(network.device)
    levels = fitting(network) if recipe.level == "any" else [recipe.level]
    found = [_Level(network, *told, target, n_data, recipe, level, progress).shortest() for level in levels]
    return min(found, key=lambda pair: pair[0])[1]


def fitting(network: Network) -> list[str]:
    """The levels that a network has: weights always; units and edges of some."""
    levels = ["weights"] + ["nodes"] * bool(unit_sites(network, heads=True))
    try:
        Graph.of(network)
    except ExplanationError:
        return levels
    return [*levels, "edges"]


@dataclass
class _Level:
    """The search at one level. ``real`` holds the law at N of each circuit that was scored, by its cut."""

    network: Network
    inputs: Tensor
    outputs: Tensor
    target: Target
    n_data: int
    recipe: MinimumBitsRecipe
    level: str
    progress: Progress | None
    real: dict[tuple[int, bytes], tuple[float, MechanismExplanation]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positions = max(1, self.outputs[:1].flatten(0, -2).shape[0])
        self._batch = max(LEAST_DATA, self.recipe.batch // positions)
        self._shard = self._first(min(SCORED, max(4 * LEAST_DATA, SCORED_ROWS // positions)))
        self._lengths: dict[int, SoftLength] = {}

    def _first(self, data: int) -> MechanismProblem:
        return MechanismProblem(self.inputs[:data], self.outputs[:data], self.target)

    def shortest(self) -> tuple[float, MechanismExplanation]:
        """L(N) of the shortest circuit, and the circuit."""
        whole = self._whole_precision()
        # a circuit has less to send than the whole network, and can afford more bits for each number
        near = [p for p in range(whole - 1, whole + 3) if p >= PRECISIONS[0]]
        told = {p: [cut for r, order in self._orders(p) for cut in self._cuts(p, r, order)] for p in near}
        near.sort(key=lambda p: min(cut.soft for cut in told[p]))
        for precision in near[:TRAINED]:
            start = self._start(told[precision])
            for name, kept in (("gates", torch.ones_like(start)), ("gates from a cut", start)):
                told[precision] += self._trained(precision, name, kept)
        return self._refined([cut for cuts in told.values() for cut in cuts])

    @staticmethod
    def _start(cuts: list[Cut]) -> Tensor:
        """The gates of the best cut of middling size."""
        low, high = (share * len(cuts[0].order) for share in MIDDLE)
        return min(cuts, key=lambda cut: (not low <= cut.count <= high, cut.soft)).kept()

    def _whole_precision(self) -> int:
        """Bits per number with which the whole network is told most briefly for so many data."""
        whole = WholeNetwork(self.network)
        shard = self._first(4 * LEAST_DATA)
        return min(PRECISIONS, key=lambda p: score_mechanism(whole, shard, p).law(self.n_data))

    def _length(self, precision: int) -> SoftLength:
        if precision not in self._lengths:
            gated: Gated = LEVELS[self.level](self.network, self.inputs, precision)
            delta = self.target.delta
            self._lengths[precision] = SoftLength(gated, self.inputs, self.outputs, delta, self.n_data)
        return self._lengths[precision]

    def _orders(self, precision: int) -> Iterator[tuple[str, Tensor]]:
        length = self._length(precision)
        for ranking, scores in length.gated.rankings().items():
            yield ranking, length.flat(scores).argsort(descending=True, stable=True)

    def _trained(self, precision: int, name: str, kept: Tensor) -> list[Cut]:
        """Cuts of the gates as they have learnt; those that are open are one of them."""
        length, recipe = self._length(precision), self.recipe
        search = GateSearch(length, kept, recipe.steps, self._batch, recipe.seed)
        minimise(search, search.loss, AdamW(recipe.steps, recipe.lr, "linear"), self.progress)
        learnt = search.a.detach()
        order = learnt.argsort(descending=True, stable=True)
        return self._cuts(precision, name, order, int((learnt > 0).sum()))

    def _cuts(self, precision: int, ranking: str, order: Tensor, *counts: int) -> list[Cut]:
        """An order cut at many sizes, from nothing to everything."""
        n = len(order)
        sizes = {round(n * SMALLEST ** (i / (SIZES - 1))) for i in range(SIZES)} | {0, *counts}
        return [self._cut(order, count, ranking, precision) for count in sorted(sizes)]

    @torch.no_grad()
    def _cut(self, order: Tensor, count: int, ranking: str, precision: int) -> Cut:
        cut = Cut(order, count, ranking, precision, 0.0)
        kept = cut.kept().to(self.outputs.dtype)
        bits = float(self._length(precision)(kept, kept, slice(0, 2 * self._batch)))
        return Cut(order, count, ranking, precision, bits)

    def _refined(self, cuts: list[Cut]) -> tuple[float, MechanismExplanation]:
        """The most promising cuts of each ranking are scored; about the shortest the size is searched."""
        finalists = []
        for ranking in sorted({cut.ranking for cut in cuts}):
            mine = (cut for cut in cuts if cut.ranking == ranking)
            finalists += sorted(mine, key=lambda cut: cut.soft)[:FINALISTS]
        best = min(finalists, key=self._scored)
        for precision in (best.precision - 1, best.precision + 1):
            if precision >= PRECISIONS[0]:
                other = Cut(best.order, best.count, best.ranking, precision, best.soft)
                best = min(best, other, key=self._scored)
        around = sorted(c.count for c in cuts if c.order is best.order)
        low = max((c for c in around if c < best.count), default=best.count)
        high = min((c for c in around if c > best.count), default=best.count)

        def bits(count: int) -> float:
            return self._scored(Cut(best.order, count, best.ranking, best.precision, 0.0))

        golden_section(bits, low, high, REFINEMENTS)
        return min(self.real.values(), key=lambda pair: pair[0])

    def _scored(self, cut: Cut) -> float:
        """L(N) of a cut, each circuit once."""
        kept = cut.kept()
        key = cut.precision, kept.cpu().numpy().tobytes()
        if key not in self.real:
            length = self._length(cut.precision)
            about = {"method": "minimum-bits", "data": self.n_data, **asdict(self.recipe)}
            about |= {"level": self.level, "ranking": cut.ranking}
            circuit = length.gated.circuit(length.named(kept), about)
            self.real[key] = score_mechanism(circuit, self._shard, cut.precision).law(self.n_data), circuit
        return self.real[key][0]


def golden_section(bits: Callable[[int], float], low: int, high: int, calls: int) -> int:
    """The best of the whole numbers low … high that a golden-section search comes by."""
    seen: dict[int, float] = {}

    def at(count: float) -> float:
        place = round(count)
        if place not in seen:
            seen[place] = bits(place)
        return seen[place]

    a, b = float(low), float(high)
    while len(seen) < calls and b - a > 1:
        left, right = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        a, b = (a, right) if at(left) <= at(right) else (left, b)
    return min(seen, key=lambda count: seen[count]) if seen else low
