"""TopK sparse autoencoders (Gao et al. 2024, arXiv 2406.04093), with an auxiliary loss for dead features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch
from assay.explanations.sae.weights import SAE
from assay.models.zoo import AdamW, Progress, minimise
from torch import Tensor, nn


@dataclass(frozen=True)
class TopKRecipe:
    """Sizes and constants: ``k`` of ``d_sae`` features fire on each row."""

    d_sae: int
    k: int
    steps: int = 3000
    batch: int = 2048
    lr: float = 1e-3
    aux: float = 1 / 32
    dead_after: int = 50
    seed: int = 0


R = TypeVar("R", bound=TopKRecipe)


class SparseModel(nn.Module):
    """An SAE while it learns, in units where the data have variance 1; other kinds change its methods."""

    def __init__(self, x: Tensor, recipe: TopKRecipe, generator: torch.Generator) -> None:
        super().__init__()
        start = torch.randn(recipe.d_sae, x.shape[1], generator=generator).to(x)
        rows = start / start.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(rows)
        self.W_enc = nn.Parameter(rows.T.clone())
        self.b_enc = nn.Parameter(x.new_zeros(recipe.d_sae))
        self.b_dec = nn.Parameter(x.mean(0))
        self.idle = x.new_zeros(recipe.d_sae)
        self.recipe = recipe

    def pre(self, x: Tensor) -> Tensor:
        """Activations [rows, d_sae] before any are chosen."""
        return torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)

    def chosen(self, pre: Tensor) -> Tensor:
        """Those that stay."""
        return keep_top(pre, self.recipe.k)

    def unexplained(self, x: Tensor, a: Tensor) -> Tensor:
        """Squared error over variance."""
        error = x - (a @ self.W_dec + self.b_dec)
        return error.square().sum() / (x - x.mean(0)).square().sum()

    def penalty(self, x: Tensor, pre: Tensor) -> Tensor:
        """What else is to be small."""
        return x.new_tensor(0.0)

    def loss(self, x: Tensor) -> Tensor:
        """What is unexplained, what dead features leave of the error, and the penalty."""
        pre = self.pre(x)
        a = self.chosen(pre)
        return self.unexplained(x, a) + self.revived(pre, a, x) + self.penalty(x, pre)

    def revived(self, pre: Tensor, a: Tensor, x: Tensor) -> Tensor:
        """What dead features leave of the error, weighted; counts for how long each feature a was idle."""
        self.idle = torch.where((a > 0).any(0), torch.zeros_like(self.idle), self.idle + 1)
        error = (x - (a @ self.W_dec + self.b_dec)).detach()
        return self.recipe.aux * self._revive(pre, error)

    def _revive(self, pre: Tensor, error: Tensor) -> Tensor:
        dead = self.idle > self.recipe.dead_after
        if not bool(dead.any()):
            return error.new_tensor(0.0)
        a = keep_top(pre * dead, min(2 * self.recipe.k, int(dead.sum())))
        return (error - a @ self.W_dec).square().sum() / error.square().sum()

    def finished(self, scale: float, site: str) -> SAE:
        """The SAE of data that were divided by ``scale``, its decoder rows at unit norm."""
        W_dec, norm = self.W_dec.detach(), self.W_dec.detach().norm(dim=1)
        return SAE(
            W_enc=self.W_enc.detach() * norm,
            W_dec=W_dec / norm[:, None],
            b_enc=self.b_enc.detach() * norm * scale,
            b_dec=self.b_dec.detach() * scale,
            architecture="topk",
            k=self.recipe.k,
            site=site,
            about={"recipe": asdict(self.recipe)},
        )


def keep_top(pre: Tensor, k: int) -> Tensor:
    """The k largest of each row, zeros elsewhere."""
    top = pre.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre).scatter(-1, top.indices, top.values)


def train_topk(x: Tensor, recipe: TopKRecipe, site: str = "", progress: Progress | None = None) -> SAE:
    """Train on activations [rows, d], drawn with replacement; decoder rows come out at unit norm."""
    return train(SparseModel, x, recipe, site, progress)


def train(
    make: Callable[[Tensor, R, torch.Generator], SparseModel],
    x: Tensor,
    recipe: R,
    site: str,
    progress: Progress | None,
) -> SAE:
    """Train a model that ``make`` makes from data, a recipe and a source of chance."""
    generator = torch.Generator().manual_seed(recipe.seed)
    scale = spread(x)
    x = x / scale
    model = make(x[:65536], recipe, generator)

    def loss() -> Tensor:
        return model.loss(x[torch.randint(len(x), (recipe.batch,), generator=generator)])

    minimise(model, loss, schedule(recipe), progress)
    return model.finished(scale, site)


def spread(x: Tensor) -> float:
    """The root of the variance of activations [rows, d]."""
    return float((x - x.mean(0)).square().sum(1).mean().sqrt())


def schedule(recipe: TopKRecipe) -> AdamW:
    """How SAEs learn."""
    return AdamW(recipe.steps, recipe.lr, "linear", warmup=100, clip=1.0)
