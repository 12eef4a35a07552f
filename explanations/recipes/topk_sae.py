"""TopK sparse autoencoders (Gao et al. 2024, arXiv 2406.04093), with an auxiliary loss for dead features."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from assay.explanations.sae import SAE
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


class _TopK(nn.Module):
    def __init__(self, x: Tensor, recipe: TopKRecipe, generator: torch.Generator) -> None:
        super().__init__()
        start = torch.randn(recipe.d_sae, x.shape[1], generator=generator)
        rows = start / start.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(rows)
        self.W_enc = nn.Parameter(rows.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(recipe.d_sae))
        self.b_dec = nn.Parameter(x.mean(0))
        self.idle = torch.zeros(recipe.d_sae)
        self.recipe = recipe

    def loss(self, x: Tensor) -> Tensor:
        """Squared error over variance, and the same for what dead features make of the error."""
        pre = torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)
        a = _keep_top(pre, self.recipe.k)
        self.idle = torch.where((a > 0).any(0), torch.zeros_like(self.idle), self.idle + 1)
        error = x - (a @ self.W_dec + self.b_dec)
        variance = (x - x.mean(0)).square().sum()
        return error.square().sum() / variance + self.recipe.aux * self._revive(pre, error.detach())

    def _revive(self, pre: Tensor, error: Tensor) -> Tensor:
        dead = self.idle > self.recipe.dead_after
        if not bool(dead.any()):
            return error.new_tensor(0.0)
        a = _keep_top(pre * dead, min(2 * self.recipe.k, int(dead.sum())))
        return (error - a @ self.W_dec).square().sum() / error.square().sum()


def _keep_top(pre: Tensor, k: int) -> Tensor:
    top = pre.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre).scatter(-1, top.indices, top.values)


def train_topk(x: Tensor, recipe: TopKRecipe, site: str = "", progress: Progress | None = None) -> SAE:
    """Train on activations [rows, d], drawn with replacement; decoder rows come out at unit norm."""
    generator = torch.Generator().manual_seed(recipe.seed)
    scale = float((x - x.mean(0)).square().sum(1).mean().sqrt())
    x = x / scale
    model = _TopK(x[:65536], recipe, generator)

    def loss() -> Tensor:
        return model.loss(x[torch.randint(len(x), (recipe.batch,), generator=generator)])

    schedule = AdamW(recipe.steps, recipe.lr, "linear", warmup=100, clip=1.0)
    minimise(model, loss, schedule, progress)
    return _folded(model, scale, recipe, site)


def _folded(model: _TopK, scale: float, recipe: TopKRecipe, site: str) -> SAE:
    """Undo the scaling of the data and move row norms into the encoder."""
    W_dec, norm = model.W_dec.detach(), model.W_dec.detach().norm(dim=1)
    return SAE(
        W_enc=model.W_enc.detach() * norm,
        W_dec=W_dec / norm[:, None],
        b_enc=model.b_enc.detach() * norm * scale,
        b_dec=model.b_dec.detach() * scale,
        architecture="topk",
        k=recipe.k,
        site=site,
        about={"recipe": asdict(recipe)},
    )
