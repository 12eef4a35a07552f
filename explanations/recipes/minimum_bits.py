"""Circuits found by the length of their message: gates are trained on a differentiable ledger, then scored.

For N data the loss is the bits of the kept numbers, n H(k/n) bits for which k of n are kept, and N times the
bits of correction per datum: KL at a classifier, log2(1 + 2e E|error| / delta) for each coordinate of a
regression (for errors beyond the grid step the entropy of a Laplace residual). What the gates say is then cut
at several sizes, each is scored as any explanation is, and the shortest is kept. Weights are rounded in the
search as they will be when they are sent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.whole import WholeNetwork
from assay.mdl import CategoricalTarget, GridTarget, MechanismExplanation, MechanismProblem, score_mechanism
from assay.models import Network
from assay.models.zoo import AdamW, Progress, minimise
from torch import Tensor, nn

from .gated import Gated, GatedEdges, GatedUnits, GatedWeights
from .hard_concrete import is_open, open_probability, sample

Level = Literal["weights", "nodes", "edges"]
LEVELS: dict[Level, Any] = {"weights": GatedWeights, "nodes": GatedUnits, "edges": GatedEdges}
SIZES = (0.02, 0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.35, 0.5, 0.7, 0.85, 0.95, 1.0)
SCORED_DATA = 256
MINIMUM_PRECISION = 2
PRECISIONS = (3, 4, 5, 6, 7, 8, 10, 12)


@dataclass(frozen=True)
class MinimumBitsRecipe:
    """Constants: what is gated, steps and rate of AdamW, data per step, the first log α of every gate."""

    level: Level = "weights"
    steps: int = 400
    lr: float = 0.1
    batch: int = 256
    start: float = 2.5
    seed: int = 0


def minimum_bits(
    network: Network,
    inputs: Tensor,
    outputs: Tensor,
    n_data: int = 1000,
    delta: float | None = None,
    recipe: MinimumBitsRecipe | None = None,
    progress: Progress | None = None,
) -> MechanismExplanation:
    """The circuit whose message about ``n_data`` data is shortest, of those that its gates rank.

    ``inputs`` [n, …] and the network's ``outputs`` on them are what it is trained on; a regression needs the
    grid step ``delta`` of its outputs. Raises :class:`ExplanationError`.
    """
    recipe = recipe or MinimumBitsRecipe()
    if n_data < 1 or recipe.level not in get_args(Level):
        raise ExplanationError(
            f"minimum bits for {n_data} data at level {recipe.level!r}: expected at least one datum, "
            f"and a level of {', '.join(get_args(Level))}"
        )
    problem = _problem(network, inputs, outputs, delta)
    shard = _first(problem, SCORED_DATA)
    about = {"method": "minimum-bits", "data": n_data, **asdict(recipe)}
    found: list[tuple[float, MechanismExplanation]] = []
    for precision in _precisions(network, shard, n_data):
        gated: Gated = LEVELS[recipe.level](network, problem.inputs, precision)
        search = _Search(gated, problem, n_data, recipe)
        minimise(search, search.loss, AdamW(recipe.steps, recipe.lr, "linear"), progress)
        candidates = [gated.circuit(kept, about) for kept in search.cuts()]
        found += [(score_mechanism(c, shard, precision).law(n_data), c) for c in candidates]
    return min(found, key=lambda pair: pair[0])[1]


def _precisions(network: Network, shard: MechanismProblem, n_data: int) -> list[int]:
    """Bits per number with which the whole network is told most briefly for so many data, and one less.

    Fewer bits suffice where the gates shut weights that rounding has made harmful.
    """
    whole = WholeNetwork(network)
    lengths = {p: score_mechanism(whole, shard, p).law(n_data) for p in PRECISIONS}
    best = min(lengths, key=lambda p: lengths[p])
    return [best, best - 1] if best > MINIMUM_PRECISION else [best]


def _problem(network: Network, inputs: Tensor, outputs: Tensor, delta: float | None) -> MechanismProblem:
    inputs, outputs = inputs.to(network.device), outputs.to(network.device)
    if network.output == "categorical":
        return MechanismProblem(inputs, outputs, CategoricalTarget())
    if delta is None:
        raise ExplanationError(
            f"minimum bits: {network.name!r} is a regression, so the grid step delta is needed"
        )
    return MechanismProblem(inputs, outputs, GridTarget(delta))


def _first(problem: MechanismProblem, data: int) -> MechanismProblem:
    return MechanismProblem(problem.inputs[:data], problem.outputs[:data], problem.target)


class _Search(nn.Module):
    """The gates as they learn."""

    def __init__(
        self, gated: Gated, problem: MechanismProblem, n_data: int, recipe: MinimumBitsRecipe
    ) -> None:
        super().__init__()
        self.gated, self.problem, self.n_data, self.recipe = gated, problem, n_data, recipe
        self.names, self.outputs = list(gated.shapes), problem.outputs[:]
        device = problem.inputs.device
        starts = [torch.full(shape, recipe.start, device=device) for shape in gated.shapes.values()]
        self.log_alpha = nn.ParameterList([nn.Parameter(start) for start in starts])
        self._generator = torch.Generator().manual_seed(recipe.seed)

    def loss(self) -> Tensor:
        """Bits in all, on a fresh batch under a fresh draw of the gates."""
        rows = torch.randint(self.problem.data, (self.recipe.batch,), generator=self._generator)
        rows = rows[: self.problem.data].to(self.problem.inputs.device)
        gates = {n: sample(a, self._generator) for n, a in zip(self.names, self.log_alpha, strict=True)}
        predicted = self.gated.run(gates, self.problem.inputs[rows])
        correction = self._correction(predicted, self.outputs[rows])
        opened = {n: open_probability(a) for n, a in zip(self.names, self.log_alpha, strict=True)}
        return self.gated.bits(opened) + self.n_data * correction

    def _correction(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Bits of a datum."""
        delta = self.problem.target.delta
        if delta is not None:
            size = (predicted - wanted).abs().flatten(0, -2).mean(0)
            return (1 + 2 * math.e * size / delta).log2().sum()
        log_p, log_q = wanted.log_softmax(-1), predicted.log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum() / math.log(2) / len(wanted)

    @torch.no_grad()
    def cuts(self) -> list[Mapping[str, Tensor]]:
        """The gates that are open, and fewer or more of them by their rank; duplicates once."""
        every = torch.cat([a.flatten() for a in self.log_alpha])
        open_now = int(is_open(every).sum())
        order = every.argsort(descending=True, stable=True)
        found: list[Mapping[str, Tensor]] = []
        for count in sorted(
            {min(len(every), max(1, round(open_now * size))) for size in SIZES} | {len(every)}
        ):
            kept = torch.zeros(len(every), dtype=torch.bool, device=every.device)
            kept[order[:count]] = True
            split = torch.split(kept, [a.numel() for a in self.log_alpha])
            shapes = self.gated.shapes.values()
            found.append({n: m.reshape(s) for n, m, s in zip(self.names, split, shapes, strict=True)})
        return found
