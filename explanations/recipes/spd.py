"""Stochastic parameter decomposition (Bushnaq et al. 2025, arXiv 2506.20790) of chosen weights of a network.

Each weight becomes Σ_c L_c R_cᵀ. A small gate per component reads its inner activation and gives its causal
importance g in [0, 1]. Losses: faithfulness |W − Σ L Rᵀ|²; stochastic reconstruction of the output under
masks g + (1 − g) u with u uniform; importance minimality Σ g^p.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from assay.explanations.components import Components, Gates
from assay.explanations.components.masked import Factors, clear, masked
from assay.models import Network
from assay.models.zoo import AdamW, Progress, minimise
from torch import Tensor, nn


@dataclass(frozen=True)
class SPDRecipe:
    """Constants: ``C`` components per weight, loss coefficients, and the exponent p, annealed from 2."""

    C: int
    steps: int
    lr: float = 3e-3
    importance: float = 3e-3
    faithfulness: float = 1.0
    reconstruction: float = 1.0
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

    def factors(self) -> dict[str, Factors]:
        """The components as they stand."""
        return {n: Factors(L, R) for n, L, R in zip(self.names, self.L, self.R, strict=True)}

    def loss(self, x: Tensor) -> Tensor:
        """All three losses on inputs x."""
        recipe = self.recipe
        factors = self.factors()
        network = masked(self.network, factors)
        with torch.no_grad():
            truth = self.network(x)
        network(x)
        raw = self._importances(factors)
        faithful = sum(((f.weight - self.targets[n]) ** 2).sum() for n, f in factors.items()) / sum(
            t.numel() for t in self.targets.values()
        )
        clear(factors)
        for f, g in zip(factors.values(), raw, strict=True):
            lower = _lower_leaky(g)
            # Drawn on the CPU from the recipe's seed: a recipe gives the same run beside any other program.
            drawn = torch.rand(lower.shape, generator=self.generator).to(lower)
            f.mask = lower + (1 - lower) * drawn
        recon = _divergence(network(x), truth, self.network.output)
        minimal = sum((_upper_leaky(g) ** self._p()).sum(-1).mean() for g in raw)
        self.step += 1
        total = recipe.faithfulness * faithful + recipe.reconstruction * recon
        return total + recipe.importance * minimal

    def _importances(self, factors: Mapping[str, Factors]) -> list[Tensor]:
        raw = []
        for gate, f in zip(self.gates, factors.values(), strict=True):
            raw.append(gate(f.inner.detach()))
        return raw

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
    schedule = AdamW(recipe.steps, recipe.lr, "cosine", warmup=100, clip=1.0)
    minimise(model, lambda: model.loss(draw()), schedule, progress)
    factors = {
        n: (L.detach().clone(), R.detach().clone()) for n, L, R in zip(weights, model.L, model.R, strict=True)
    }
    gates = {
        n: {key: value.detach().clone() for key, value in gate.state_dict().items()}
        for n, gate in zip(weights, model.gates, strict=True)
    }
    about = {"from": "spd", "recipe": asdict(recipe)}
    return Components(network, factors, Gates(gates, recipe.threshold), name, about)
