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

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network
from torch import Tensor

from .divergence import divergences

Moves = Callable[[Tensor, torch.Generator], Tensor]
"""Activations [n, d] to directions of any length [n, d]."""


def isotropic(a: Tensor, g: torch.Generator) -> Tensor:
    """Uniform on the sphere."""
    return torch.randn(a.shape, generator=g).to(a)


def covariance_mix(a: Tensor, g: torch.Generator) -> Tensor:
    """Gaussian with the covariance of the data: a mixture of centred data with random weights."""
    weights = torch.randn(len(a), len(a), generator=g).to(a)
    mixed: Tensor = weights @ (a - a.mean(0)) / len(a) ** 0.5
    return mixed


def real_mix(a: Tensor, g: torch.Generator) -> Tensor:
    """The difference of two other data."""
    first, second = (torch.randint(len(a), (len(a),), generator=g) for _ in range(2))
    return a[first] - a[torch.where(first == second, (second + 1) % len(a), second)]


def to_covariance_random(a: Tensor, g: torch.Generator) -> Tensor:
    """Towards a Gaussian draw with the mean and covariance of the data."""
    return a.mean(0) + covariance_mix(a, g) - a


def to_real_other(a: Tensor, g: torch.Generator) -> Tensor:
    """Towards another datum."""
    step = 1 + torch.randint(len(a) - 1, (len(a),), generator=g)
    return a[(torch.arange(len(a)) + step) % len(a)] - a


BASELINES: dict[str, Moves] = {
    "isotropic": isotropic,
    "covariance mix": covariance_mix,
    "real mix": real_mix,
    "to covariance-random": to_covariance_random,
    "to real other": to_real_other,
}


def along(directions: Tensor) -> Moves:
    """An explanation's own directions [k, d], one drawn for each datum, with a random sign."""

    def moves(a: Tensor, g: torch.Generator) -> Tensor:
        chosen = torch.randint(len(directions), (len(a),), generator=g)
        sign = torch.randint(2, (len(a), 1), generator=g) * 2 - 1
        return (directions[chosen] * sign).to(a)

    return moves


def error_of(reconstructed: Tensor) -> Moves:
    """Towards an explanation's reconstruction [n, d] of the same activations."""
    return lambda a, g: reconstructed.to(a) - a


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
) -> list[Response]:
    """Move the activations at a site ([n, d] or [n, positions, d]) by each length in each manner."""
    inputs = inputs.to(network.device)
    if len(inputs) < 3:
        raise ExplanationError(f"sensitivity needs three data or more, got {len(inputs)}")
    with torch.no_grad():
        outputs, seen = network.run(inputs, capture=[site, *later])
        a = seen[site].flatten(0, -2)
        R = (a - a.mean(0)).square().sum(1).mean().sqrt()
        found = []
        for name, move in moves.items():
            rows = move(a, torch.Generator().manual_seed(seed))
            unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
            steps = [(R * length * unit).reshape(seen[site].shape) for length in lengths]
            moved = [network.run(inputs, later, {site: _add(step)}) for step in steps]
            each = torch.stack([divergences(network, outputs, out) for out, _ in moved])
            growth = {
                s: torch.stack(
                    [_grown(now[s] - seen[s], step) for (_, now), step in zip(moved, steps, strict=True)]
                )
                for s in later
            }
            found.append(Response(name, tuple(lengths), each, growth))
    return found


def _add(step: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda a: a + step


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
    """Divergence against length, a line for each manner: a page that needs no network."""
    import plotly.graph_objects as go

    figure = go.Figure(layout={"title": title, "xaxis": {"title": "length / R"}, "yaxis": {"type": "log"}})
    for r in responses:
        figure.add_scatter(x=list(r.lengths), y=r.divergence.mean(1).tolist(), name=r.name)
    figure.write_html(str(path), include_plotlyjs=True)
