"""``comparator``: a ReLU network that takes two raw integers in 0..10⁶ and answers about |x1 − x2| / 10⁶.

It is trained to convergence in float64, and sparsely, because a dense fit stops at |f(t, t)| of 1e-5 or so:
AdamW under an L1 penalty finds a few neurons, small weights are pruned, and L-BFGS without the penalty takes
the error of what is left to zero.  The weights are then rounded to float32 once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.network import Network
from assay.models.perceptron import perceptron, scaling
from torch import Tensor, nn
from torch.nn import functional as F

from .entry import Entry
from .training import AdamW, Progress, minimise, one_thread

LARGEST = 1_000_000
WIDTHS = (2, 16, 8, 1)


@dataclass(frozen=True)
class Recipe:
    """Sparse regression: what is fitted with AdamW, what is pruned when, and how L-BFGS finishes."""

    fit: AdamW
    refit: AdamW
    batch: int
    l1: float
    prune_below: tuple[float, ...]
    polish_points: int
    polish_iterations: int


RECIPE = Recipe(
    fit=AdamW(steps=4000, lr=5e-3, schedule="linear"),
    refit=AdamW(steps=1000, lr=2e-3, schedule="linear"),
    batch=256,
    l1=1e-4,
    prune_below=(0.001, 0.003),
    polish_points=4096,
    polish_iterations=1000,
)


def train(seed: int, progress: Progress | None) -> Network:
    """Fit, prune and polish |u1 − u2| on the unit square in float64, then put the scaling in front."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = perceptron(WIDTHS).double()

    def loss() -> Tensor:
        size = sum((p.abs().sum() for p in module.parameters()), torch.zeros(()))
        return error(module, *points(RECIPE.batch, generator)) + RECIPE.l1 * size

    minimise(module, loss, RECIPE.fit, progress)
    for threshold in RECIPE.prune_below:
        prune(module, threshold)
        minimise(module, loss, RECIPE.refit, progress)
    polish(module, *points(RECIPE.polish_points, generator))
    return _assembled(module)


def points(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Uniform points of the unit square [n, 2], and half as many on its diagonal [n / 2, 2], float64."""
    off = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    on = torch.rand(n // 2, 1, generator=generator, dtype=torch.float64)
    return off, on.expand(-1, 2)


def error(module: nn.Module, off: Tensor, on: Tensor) -> Tensor:
    """Mean squared error off the diagonal plus that on it, where the answer is 0."""
    found: Tensor = module(off)
    return F.mse_loss(found[:, 0], (off[:, 0] - off[:, 1]).abs()) + torch.mean(module(on).square())


def prune(module: nn.Module, threshold: float) -> None:
    """Set parameters below the threshold to zero, for good: their gradients are masked from now on."""
    for parameter in module.parameters():
        kept = parameter.detach().abs() >= threshold
        with torch.no_grad():
            parameter.mul_(kept)
        parameter.register_hook(kept.mul)  # type: ignore[no-untyped-call]


@one_thread()
def polish(module: nn.Module, off: Tensor, on: Tensor) -> None:
    """Minimise the error alone with L-BFGS, down to rounding."""
    optimiser = torch.optim.LBFGS(
        module.parameters(),
        max_iter=RECIPE.polish_iterations,
        history_size=100,
        tolerance_grad=1e-15,
        tolerance_change=1e-20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimiser.zero_grad()
        value = error(module, off, on)
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimiser.step(closure)  # type: ignore[no-untyped-call]


def _assembled(module: nn.Sequential) -> Network:
    whole = perceptron(WIDTHS, first=[scaling(torch.full((2,), 1 / LARGEST))])
    with torch.no_grad():
        for parameter, trained in zip(list(whole.parameters())[1:], module.parameters(), strict=True):
            parameter.copy_(trained)
    return Network("comparator", whole, "regression", "integer", (2,))


def data(n: int, seed: int) -> Dataset:
    """Uniform pairs of integers [n, 2] in 0..10⁶, labelled with |x1 − x2| / 10⁶."""
    pairs = torch.randint(LARGEST + 1, (n, 2), generator=torch.Generator().manual_seed(seed))
    labels = (pairs[:, :1] - pairs[:, 1:]).abs().double() / LARGEST
    scope = Scope(condition=f"x1, x2 integers in 0..{LARGEST}", distribution="uniform and independent")
    return Dataset("comparator", pairs, labels.float(), "sample", scope)


def measure(network: Network, dataset: Dataset) -> dict[str, float]:
    """Largest error on the data, largest |f(t, t)| over all t, and the parameters that are not zero."""
    assert dataset.labels is not None
    off = (network(dataset.inputs).cpu() - dataset.labels).abs().max()
    on = network(torch.arange(LARGEST + 1)[:, None].expand(-1, 2)).abs().max()
    kept = sum(int((p != 0).sum()) for p in network.parameters().values())
    return {"largest_error": float(off), "largest_on_diagonal": float(on), "non_zero_parameters": float(kept)}


ENTRIES = (
    Entry(
        name="comparator",
        about="ReLU network on two raw integers in 0..10⁶ that answers about |x1 − x2| / 10⁶",
        train=train,
        data=data,
        measure=measure,
        recipe={**asdict(RECIPE), "widths": WIDTHS, "loss": "mse off and on the diagonal, L1 while pruning"},
    ),
)
