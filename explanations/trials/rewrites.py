"""Rewrites M = f + (M − f), and directions projected out on the direct path or everywhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network
from torch import Tensor, nn

from .divergence import divergences


class Rewritten(nn.Module):
    """f(x) + (M(x) − f(x)), summed in float64: for float32 outputs of like size this is exact."""

    def __init__(self, f: nn.Module, M: nn.Module) -> None:
        super().__init__()
        self.f, self.M = f, M
        self.residual = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``residual`` is a site: resample it to claim that it does not matter."""
        model, told = self.M(x), self.f(x)
        rest = self.residual(model.double() - told.double())
        total: Tensor = (told.double() + rest).to(model.dtype)
        return total


def rewrite(network: Network, f: Network, inputs: Tensor) -> Network:
    """The network as f + (M − f), with the site ``residual``.

    Raises :class:`ExplanationError` unless outputs are equal to the last bit on all inputs [n, …].
    """
    made = replace(
        network, name=f"{network.name} as {f.name} + rest", module=Rewritten(f.module, network.module)
    )
    inputs = inputs.to(network.device)
    with torch.no_grad():
        own, again = network(inputs), made(inputs)
    if not torch.equal(own, again):
        bad = int((own != again).flatten(1).any(1).sum())
        raise ExplanationError(f"rewrite: f + (M − f) is not M on {bad} of {len(inputs)} inputs")
    return made


@dataclass(frozen=True)
class Projected:
    """Mean divergence after directions are projected out, and after random ones (mean of the controls)."""

    path: str
    divergence: float
    random: float


def project_out(
    network: Network,
    inputs: Tensor,
    site: str,
    directions: Tensor,
    final: str | None = None,
    controls: int = 8,
    seed: int = 0,
) -> Projected:
    """Remove the span of directions [k, d] (about the mean) at a site; as many random ones are the control.

    With ``final``, a site of the same shape further on, it is removed there alone: what the site wrote still
    reaches everything between, and only the direct path to the output is cut.
    """
    inputs = inputs.to(network.device)
    with torch.no_grad():
        outputs, seen = network.run(inputs, capture=[site])
        a = seen[site]
        if directions.ndim != 2 or directions.shape[1] != a.shape[-1]:
            raise ExplanationError(f"directions {tuple(directions.shape)}, expected [k, {a.shape[-1]}]")
        centred = a - a.flatten(0, -2).mean(0)
        generator = torch.Generator().manual_seed(seed)

        def left(rows: Tensor) -> float:
            Q = torch.linalg.qr(rows.to(a).T)[0]
            part = centred @ Q @ Q.T
            moved = network.patched(inputs, {final or site: lambda b: b - part})
            return float(divergences(network, outputs, moved).mean())

        drawn = [left(torch.randn(directions.shape, generator=generator)) for _ in range(controls)]
        return Projected("direct" if final else "everywhere", left(directions), sum(drawn) / controls)
