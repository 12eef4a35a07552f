"""Sensitive directions: what happens at the output when an activation is moved by a given length.

Sources: Gurnee 2024; Heimersheim & Mendel 2024; Lee & Heimersheim 2024 (arXiv 2410.12555); Giglemiani et al.
2024 (arXiv 2409.15019). KL gaps may come from the readout alone, so growth of the L2 distance is told
beside it, and two controls: a network with fresh weights, and the last site.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network
from torch import Tensor

from .divergence import divergences

Moves = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""From bases [n, d] and real activations [n, d] to directions of any length [n, d]."""

Base = Literal["real", "covariance-random"]
"""What is moved: the data's activations, or Gaussian draws with their mean and covariance."""


def isotropic(base: Tensor, real: Tensor, g: torch.Generator) -> Tensor:
    """Uniform on the sphere."""
    return torch.randn(base.shape, generator=g).to(base)


def covariance_mix(base: Tensor, real: Tensor, g: torch.Generator) -> Tensor:
    """Gaussian with the covariance of the data: a mixture of centred data with random weights."""
    weights = torch.randn(len(real), len(real), generator=g).to(real)
    mixed: Tensor = weights @ (real - real.mean(0)) / len(real) ** 0.5
    return mixed


def real_mix(base: Tensor, real: Tensor, g: torch.Generator) -> Tensor:
    """The difference of two other data."""
    first, second = (torch.randint(len(real), (len(real),), generator=g) for _ in range(2))
    return real[first] - real[torch.where(first == second, (second + 1) % len(real), second)]


def to_covariance_random(base: Tensor, real: Tensor, g: torch.Generator) -> Tensor:
    """Towards a Gaussian draw with the mean and covariance of the data."""
    return real.mean(0) + covariance_mix(base, real, g) - base


def to_real_other(base: Tensor, real: Tensor, g: torch.Generator) -> Tensor:
    """Towards another datum."""
    step = 1 + torch.randint(len(real) - 1, (len(real),), generator=g)
    return real[(torch.arange(len(real)) + step) % len(real)] - base


BASELINES: dict[str, Moves] = {
    "isotropic": isotropic,
    "covariance mix": covariance_mix,
    "real mix": real_mix,
    "to covariance-random": to_covariance_random,
    "to real other": to_real_other,
}


def along(directions: Tensor) -> Moves:
    """An explanation's own directions [k, d], one drawn for each datum, with a random sign."""

    def moves(base: Tensor, real: Tensor, g: torch.Generator) -> Tensor:
        chosen = torch.randint(len(directions), (len(base),), generator=g)
        sign = torch.randint(2, (len(base), 1), generator=g) * 2 - 1
        return (directions[chosen] * sign).to(base)

    return moves


def error_of(reconstructed: Tensor) -> Moves:
    """Towards an explanation's reconstruction [n, d] of the same activations."""
    return lambda base, real, g: reconstructed.to(base) - base


@dataclass(frozen=True, eq=False)
class Response:
    """By length (in units of R): KL or relative error of the outputs [lengths, n], and ‖Δ later‖ / ‖Δ site‖.

    R is the root mean square distance of activations to their mean.
    """

    name: str
    lengths: tuple[float, ...]
    divergence: Tensor
    amplification: Mapping[str, Tensor]

    def mean(self, length: float) -> float:
        """Mean divergence at a length."""
        return float(self.divergence[self.lengths.index(length)].mean())


def respond(
    network: Network,
    inputs: Tensor,
    site: str,
    moves: Mapping[str, Moves] = BASELINES,
    lengths: Sequence[float] = (0.1, 0.3, 1.0),
    later: Sequence[str] = (),
    seed: int = 0,
    base: Base = "real",
) -> list[Response]:
    """Move the activations at a site ([n, d] or [n, positions, d]) by each length in each manner.

    With ``base`` "covariance-random" Gaussian draws stand in for the activations, before and after: where
    real ones lie on plateaus, moves from these grow more.
    """
    inputs = inputs.to(network.device)
    if len(inputs) < 3:
        raise ExplanationError(f"sensitivity needs three data or more, got {len(inputs)}")
    if base not in get_args(Base):
        raise ExplanationError(f"base {base!r} is not one of {', '.join(get_args(Base))}")
    with torch.no_grad():
        shaped = network.run(inputs, capture=[site])[1][site]
        real = shaped.flatten(0, -2)
        R = (real - real.mean(0)).square().sum(1).mean().sqrt()
        start = real if base == "real" else _drawn(real, seed)
        moved = _Moved(network, inputs, site, start.reshape(shaped.shape), later)
        found = []
        for name, move in moves.items():
            rows = move(start, real, torch.Generator().manual_seed(seed))
            unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
            told = [moved.by((R * length * unit).reshape(shaped.shape)) for length in lengths]
            growth = {s: torch.stack([grown[s] for _, grown in told]) for s in later}
            found.append(Response(name, tuple(lengths), torch.stack([each for each, _ in told]), growth))
    return found


def _drawn(real: Tensor, seed: int) -> Tensor:
    """Gaussian draws with the mean and covariance of real activations; not those that moves aim at."""
    return real.mean(0) + covariance_mix(real, real, torch.Generator().manual_seed(seed + 1_000_003))


class _Moved:
    """A network whose activations at a site start from given ones."""

    def __init__(
        self, network: Network, inputs: Tensor, site: str, start: Tensor, later: Sequence[str]
    ) -> None:
        self.network, self.inputs, self.site, self.start, self.later = network, inputs, site, start, later
        self.outputs, self.seen = network.run(inputs, later, {site: lambda a: start})

    def by(self, step: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Divergence of each datum [n], and growth in L2 at later sites [n] each."""
        outputs, seen = self.network.run(self.inputs, self.later, {self.site: lambda a: self.start + step})
        grown = {s: _grown(seen[s] - self.seen[s], step) for s in self.later}
        return divergences(self.network, self.outputs, outputs), grown


def _grown(after: Tensor, before: Tensor) -> Tensor:
    ratio: Tensor = after.flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1).clamp_min(1e-12)
    return ratio


@dataclass(frozen=True)
class Sensitivity:
    """Mean divergence over that of the covariance mix, with a 95 % paired bootstrap interval over data."""

    name: str
    ratio: float
    low: float
    high: float


def scores(
    responses: Sequence[Response], length: float, draws: int = 1000, seed: int = 0
) -> list[Sensitivity]:
    """Sensitivity of each manner relative to the covariance-matched baseline."""
    by_name = {r.name: r.divergence[r.lengths.index(length)].cpu() for r in responses}
    if "covariance mix" not in by_name:
        raise ExplanationError("sensitivity scores need the covariance mix as their baseline")
    base = by_name["covariance mix"]
    drawn = torch.randint(len(base), (draws, len(base)), generator=torch.Generator().manual_seed(seed))
    below = base[drawn].mean(1).clamp_min(1e-30)
    found = []
    for name, each in by_name.items():
        ratios = each[drawn].mean(1) / below
        low, high = torch.quantile(ratios, torch.tensor([0.025, 0.975], dtype=ratios.dtype)).tolist()
        found.append(Sensitivity(name, float(each.mean() / base.mean().clamp_min(1e-30)), low, high))
    return found


def untrained_twin(network: Network, seed: int = 0) -> Network:
    """The network with fresh Gaussian weights of the same size; entries of vectors (biases, gains of norms)
    keep their values in a random order."""
    module, generator = copy.deepcopy(network.module), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim > 1:
                size = p.square().mean().sqrt()
                p.copy_(torch.randn(p.shape, generator=generator).to(p) * size)
            else:
                order = torch.randperm(p.numel(), generator=generator)
                p.copy_(p.flatten()[order.to(p.device)].reshape(p.shape))
    return replace(network, name=f"untrained {network.name}", module=module)


def plot(responses: Sequence[Response], title: str, path: Path | str) -> None:
    """Divergence, and growth in L2 at later sites, against length: a page that needs no network."""
    from plotly.subplots import make_subplots

    later = list(responses[0].amplification) if responses else []
    figure = make_subplots(
        rows=1, cols=1 + len(later), subplot_titles=["divergence", *(f"growth in L2: {s}" for s in later)]
    )
    for number, r in enumerate(responses):
        drawn = [r.divergence, *(r.amplification[s] for s in later)]
        for column, values in enumerate(drawn, 1):
            look = {"name": r.name, "legendgroup": r.name, "showlegend": column == 1}
            line = {"color": f"hsl({360 * number // len(responses)}, 70%, 45%)"}
            figure.add_scatter(
                x=list(r.lengths), y=values.mean(1).tolist(), line=line, row=1, col=column, **look
            )
    figure.update_layout(title=title, xaxis_title="length / R")
    figure.update_yaxes(type="log", row=1, col=1)
    figure.write_html(str(path), include_plotlyjs=True)
