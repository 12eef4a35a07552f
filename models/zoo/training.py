"""The one training loop of the zoo: AdamW on a stream of fresh batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["AdamW", "Progress", "minimise", "one_thread"]

Progress = Callable[[int, int, dict[str, float]], None]
"""Called with (steps done, steps in all, figures such as the loss)."""


@dataclass(frozen=True)
class AdamW:
    """A training recipe: steps, peak learning rate, how the rate falls, and AdamW's own constants.

    Weight decay acts on tensors of two or more axes only.  ``clip`` is the largest gradient norm (0: none).
    """

    steps: int
    lr: float
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 0.0

    def rate(self, step: int) -> float:
        """Learning rate of a step (0-based)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        match self.schedule:
            case "constant":
                return self.lr
            case "linear":
                return self.lr * (1 - done)
            case "cosine":
                return self.lr * (1 + math.cos(math.pi * done)) / 2


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while.

    Small kernels lose more than they gain on several, above all on a busy machine, and sums do not depend on
    how many cores there are.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def minimise(module: nn.Module, loss: Callable[[], Tensor], recipe: AdamW, progress: Progress | None) -> None:
    """Take ``recipe.steps`` steps down ``loss``, which draws a fresh batch at each call; on one thread."""
    optimiser = _optimiser(module, recipe)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        optimiser.zero_grad(set_to_none=True)
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        if recipe.clip:
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip)
        optimiser.step()
        if progress and (step + 1) % max(1, recipe.steps // 100) == 0:
            progress(step + 1, recipe.steps, {"loss": float(value.detach())})


def _optimiser(module: nn.Module, recipe: AdamW) -> torch.optim.Optimizer:
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=recipe.lr, betas=recipe.betas, fused=True)
