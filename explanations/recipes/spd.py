"""Stochastic parameter decomposition (Bushnaq et al. 2025, arXiv 2506.20790) of chosen weights of a network.

Each weight becomes Σ_c L_c R_cᵀ. A small gate per component reads its inner activation and gives its causal
importance g in [0, 1]. Losses: faithfulness |W − Σ L Rᵀ|²; stochastic reconstruction of the output under
masks g + (1 − g) u with u uniform; importance minimality Σ g^p.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

import torch
from assay.explanations.components import Components, Gates
from assay.explanations.components.masked import Factors, clear, masked
from assay.explanations.errors import ExplanationError
from assay.models import Network
from assay.models.zoo import AdamW, Progress, minimise
from torch import Tensor, nn

CLIP = 1.0
"""The largest length of a run's gradient. Much hangs on it: without it runs break that are good with it."""


@dataclass(frozen=True)
class SPDRecipe:
    """Constants: ``C`` components per weight, loss coefficients, and the exponent p, annealed from 2.

    Importance prunes, but it also pulls gates below 1, and components grow to make up for it. ``relax`` is
    the factor to which its coefficient falls over the third quarter of the steps, along a line.
    """

    C: int
    steps: int
    lr: float = 3e-3
    importance: float = 3e-3
    faithfulness: float = 1.0
    reconstruction: float = 1.0
    relax: float = 1.0
    p: float = 1.0
    gate_hidden: int = 8
    threshold: float = 0.1
    seed: int = 0
    start: str = "random"


class _Gate(nn.Module):
    """One two-layer gate per component; a leaky hard sigmoid keeps gradients alive on both sides."""

    def __init__(self, C: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        self.mlp_in = nn.Parameter(torch.randn(C, hidden, generator=generator))
        self.in_bias = nn.Parameter(torch.zeros(C, hidden))
        self.mlp_out = nn.Parameter(torch.randn(C, hidden, generator=generator) / math.sqrt(hidden))
        self.out_bias = nn.Parameter(torch.full((C,), 0.5))

    def forward(self, inner: Tensor) -> Tensor:
        hidden = nn.functional.gelu(inner[..., None] * self.mlp_in + self.in_bias)
        return (hidden * self.mlp_out).sum(-1) + self.out_bias


class _Decomposition(nn.Module):
    def __init__(self, network: Network, weights: tuple[str, ...], recipe: SPDRecipe) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(recipe.seed)
        self.recipe, self.network, self.names = recipe, network, weights
        own = network.parameters()
        self.targets = {name: own[name].detach() for name in weights}
        pairs = [_start(self.targets[name], recipe, generator) for name in weights]
        self.L = nn.ParameterList([nn.Parameter(L) for L, _ in pairs])
        self.R = nn.ParameterList([nn.Parameter(R) for _, R in pairs])
        self.gates = nn.ModuleList([_Gate(len(L), recipe.gate_hidden, generator) for L, _ in pairs])
        self.step, self.generator = 0, generator
        self._factors = {n: Factors(L, R) for n, L, R in zip(weights, self.L, self.R, strict=True)}
        self._masked = masked(network, self._factors)

    def factors(self) -> dict[str, Factors]:
        """The components as they stand, in the masked network."""
        for f, L, R in zip(self._factors.values(), self.L, self.R, strict=True):
            f.L, f.R = L, R
        clear(self._factors)
        return self._factors

    def forward(self, x: Tensor, uniform: Sequence[Tensor] = ()) -> Tensor:
        """All three losses on inputs x, under masks from ``uniform`` numbers or from numbers of its own."""
        recipe, factors, network = self.recipe, self.factors(), self._masked
        with torch.no_grad():
            truth = self.network(x)
        network(x)
        raw = self._importances(factors)
        faithful = sum(((f.weight - self.targets[n]) ** 2).sum() for n, f in factors.items()) / sum(
            t.numel() for t in self.targets.values()
        )
        clear(factors)
        for f, g, u in zip(factors.values(), raw, uniform or self.uniform(raw), strict=True):
            lower = _lower_leaky(g)
            f.mask = lower + (1 - lower) * u
        recon = _divergence(network(x), truth, self.network.output)
        minimal = sum((_upper_leaky(g) ** self._p()).sum(-1).mean() for g in raw)
        self.step += 1
        total = recipe.faithfulness * faithful + recipe.reconstruction * recon
        return total + recipe.importance * self._relaxed() * minimal

    def uniform(self, like: Sequence[Tensor]) -> list[Tensor]:
        """Numbers for the masks, drawn on the CPU: a seed gives the same run beside any other program."""
        return [torch.rand(g.shape, generator=self.generator).to(g) for g in like]

    def _importances(self, factors: Mapping[str, Factors]) -> list[Tensor]:
        raw = []
        for gate, f in zip(self.gates, factors.values(), strict=True):
            raw.append(gate(f.inner.detach()))
        return raw

    def components(self, name: str) -> Components:
        """The components with their gates, apart from this module."""
        factors = {
            n: (L.detach().clone(), R.detach().clone())
            for n, L, R in zip(self.names, self.L, self.R, strict=True)
        }
        gates = {
            n: {key: value.detach().clone() for key, value in gate.state_dict().items()}
            for n, gate in zip(self.names, self.gates, strict=True)
        }
        about = {"from": "spd", "recipe": asdict(self.recipe)}
        return Components(self.network, factors, Gates(gates, self.recipe.threshold), name, about)

    def _relaxed(self) -> float:
        late = 4 * self.step / self.recipe.steps - 2
        return 1 + (self.recipe.relax - 1) * min(1.0, max(0.0, late))

    def _p(self) -> float:
        done = min(1.0, self.step / self.recipe.steps)
        return 2.0 + (self.recipe.p - 2.0) * done


def _start(W: Tensor, recipe: SPDRecipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random rank-1 components, or the singular vectors followed by small random ones."""
    rows, columns = W.shape
    if recipe.start == "random":
        L = torch.randn(recipe.C, rows, generator=generator) / math.sqrt(rows)
        R = torch.randn(recipe.C, columns, generator=generator) / math.sqrt(columns)
        return L, R
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    rank = min(recipe.C, len(S))
    L = torch.randn(recipe.C, rows, generator=generator) * 1e-2
    R = torch.randn(recipe.C, columns, generator=generator) * 1e-2
    L[:rank], R[:rank] = (U * S.sqrt()).T[:rank], (S.sqrt()[:, None] * Vh)[:rank]
    return L, R


def _lower_leaky(g: Tensor) -> Tensor:
    """Clamp to [0, 1], with a slope of .01 below 0 in the backward pass."""
    clamped = g.clamp(0, 1)
    return clamped + 0.01 * (g - g.detach()) * (g < 0)


def _upper_leaky(g: Tensor) -> Tensor:
    """Clamp below at 0, slope .01 above 1."""
    return torch.where(g > 1, 1 + 0.01 * (g - 1), g.clamp_min(0))


def _divergence(predicted: Tensor, truth: Tensor, output: str) -> Tensor:
    if output == "regression":
        return ((predicted - truth) ** 2).sum(-1).mean()
    log_q, log_p = predicted.log_softmax(-1), truth.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def decompose(
    network: Network,
    weights: tuple[str, ...],
    draw: Callable[[], Tensor],
    recipe: SPDRecipe,
    name: str = "SPD components",
    progress: Progress | None = None,
) -> Components:
    """Decompose the named weights on inputs that ``draw`` supplies; gives components with their gates."""
    model = _Decomposition(network, weights, recipe)
    schedule = AdamW(recipe.steps, recipe.lr, "cosine", warmup=100, clip=CLIP)
    minimise(model, lambda: model(draw()), schedule, progress)
    return model.components(name)


def decompose_several(
    network: Network,
    weights: tuple[str, ...],
    draw: Callable[[torch.Generator], Tensor],
    recipes: Sequence[SPDRecipe],
    progress: Progress | None = None,
) -> list[Components]:
    """Runs that differ by their seeds alone, side by side: small ones cost little more than one.

    Each run has its own start, data (``draw`` from a generator of its seed, always of one shape) and masks,
    and takes the steps that it would take alone.
    """
    if len({replace(recipe, seed=0) for recipe in recipes}) != 1:
        raise ExplanationError("runs side by side differ by their seeds alone; these recipes differ by more")
    runs = _SideBySide([_Decomposition(network, weights, recipe) for recipe in recipes])
    generators = [torch.Generator().manual_seed(recipe.seed) for recipe in recipes]

    def loss() -> Tensor:
        return cast(Tensor, runs(torch.stack([draw(generator) for generator in generators])))

    minimise(runs, loss, AdamW(recipes[0].steps, recipes[0].lr, "cosine", warmup=100), progress)
    return [run.components(f"SPD components, seed {run.recipe.seed}") for run in runs.apart()]


class _SideBySide(nn.Module):
    """Parameters [runs, …] of several decompositions, and the sum of their losses.

    Each run's gradient is clipped by its own length. So the gradients are taken here, and what is handed on
    is the sum of the losses with these, clipped, as its slope.
    """

    def __init__(self, runs: Sequence[_Decomposition]) -> None:
        super().__init__()
        self._runs = tuple(runs)  # in a tuple, so that their own parameters are not trained as well
        stacked, _ = torch.func.stack_module_state(list(runs))
        self._names = tuple(stacked)
        self.stacked = nn.ParameterList(stacked.values())

    def forward(self, x: Tensor) -> Tensor:
        """Inputs [runs, data, …] to the sum of the losses."""
        first = self._runs[0]
        shapes = [torch.empty(x.shape[1], first.recipe.C)] * len(first.names)
        drawn = [torch.stack(u) for u in zip(*(run.uniform(shapes) for run in self._runs), strict=True)]

        def one(own: dict[str, Tensor], x: Tensor, u: list[Tensor]) -> Tensor:
            return cast(Tensor, torch.func.functional_call(first, own, (x, u)))

        own = dict(zip(self._names, self.stacked, strict=True))
        slopes, losses = torch.vmap(torch.func.grad_and_value(one))(own, x, drawn)
        slopes = {name: slope.detach().flatten(1) for name, slope in slopes.items()}
        length = torch.stack([slope.square().sum(1) for slope in slopes.values()]).sum(0).sqrt()
        shorter = (CLIP / (length + 1e-6)).clamp(max=1)
        lines = [shorter @ (slope * own[name].flatten(1)).sum(1) for name, slope in slopes.items()]
        along = torch.stack(lines).sum()
        total: Tensor = losses.sum().detach() + along - along.detach()
        return total

    def apart(self) -> tuple[_Decomposition, ...]:
        """The runs with the parameters that they have come to."""
        with torch.no_grad():
            for index, run in enumerate(self._runs):
                for name, parameter in run.named_parameters():
                    parameter.copy_(self.stacked[self._names.index(name)][index])
        return self._runs
