"""End-to-end SAEs (Braun et al. 2024, arXiv 2405.12241), trained for what the network makes of them.

The loss is KL(model ‖ model with the site replaced by the reconstruction), in nats an output, plus L1 of the
features, each times the norm of its decoder row; at most k of them fire. Of a regression it is the share of
the outputs' variance that is lost. Nothing asks the reconstruction to be near the activations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.sae.weights import SAE
from assay.models import Network
from assay.models.zoo import Progress, minimise
from torch import Tensor

from .topk_sae import SparseModel, TopKRecipe, schedule, spread

STARTED = 2048


@dataclass(frozen=True)
class EndToEndRecipe(TopKRecipe):
    """``sparsity`` weighs L1, in units where activations have variance 1; ``batch`` counts rows."""

    sparsity: float = 1e-3


class _EndToEnd(SparseModel):
    def __init__(self, x: Tensor, recipe: EndToEndRecipe, generator: torch.Generator) -> None:
        super().__init__(x, recipe, generator)
        self.sparsity = recipe.sparsity

    def replaced(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The reconstruction of h [..., d], and what sparsity and dead features cost."""
        pre = self.pre(h)
        a = self.chosen(pre)
        written = a @ self.W_dec + self.b_dec
        rows = h.flatten(0, -2)
        revived = self.revived(pre.flatten(0, -2), a.flatten(0, -2), rows)
        return written, revived + self.sparsity * (a * self.W_dec.norm(dim=1)).sum(-1).mean()


def lost(predicted: Tensor, wanted: Tensor, output: str) -> Tensor:
    """KL in nats for each output of a classifier; the share of the variance that is lost in a regression."""
    if output == "categorical":
        log_p, log_q = wanted.log_softmax(-1), predicted.log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    rows = wanted.flatten(0, -2)
    return (predicted - wanted).square().sum() / (rows - rows.mean(0)).square().sum()


def train_end_to_end(
    network: Network, inputs: Tensor, recipe: EndToEndRecipe, site: str, progress: Progress | None = None
) -> SAE:
    """Train at a site of the network on inputs [n, …], drawn with replacement, with the site replaced.

    Decoder rows come out at unit norm. Raises :class:`ExplanationError` for a site whose activations have
    nothing to do with the outputs.
    """
    generator = torch.Generator().manual_seed(recipe.seed)
    inputs = inputs.to(network.device)
    with torch.no_grad():
        outputs, seen = network.run(inputs[:STARTED], capture=(site,))
    x = seen[site].flatten(0, -2)
    scale = spread(x)
    if scale == 0.0 or torch.equal(outputs, network.patched(inputs[:STARTED], {site: torch.zeros_like})):
        raise ExplanationError(f"end-to-end SAE: the outputs of {network.name!r} do not depend on {site!r}")
    model = _EndToEnd(x / scale, recipe, generator)
    data = max(1, recipe.batch * len(seen[site]) // len(x))

    def loss() -> Tensor:
        drawn = inputs[torch.randint(len(inputs), (data,), generator=generator)]
        paid: list[Tensor] = []

        def replace(h: Tensor) -> Tensor:
            written, penalty = model.replaced(h / scale)
            paid.append(penalty)
            return written * scale

        predicted = network.patched(drawn, {site: replace})
        return lost(predicted, network(drawn), network.output) + paid[0]

    minimise(model, loss, schedule(recipe), progress)
    return model.finished(scale, site)
