"""What an explanation claims of units: which matter, and what stands in for those that do not.

The verdict of a resampling trial flips with the donor rule, so the rule is part of the claim. Sources: causal
scrubbing (Redwood Research 2022); its faults: cancellation, and donors that are drawn together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Intervention, Network
from torch import Tensor

Fill = Literal["resample", "mean", "zero"]


@dataclass(frozen=True, eq=False)
class Claim:
    """``important[site]`` [units] Boolean: the units along the last axis of a site that are said to matter.

    ``fill`` says what replaces the others: the activation of another datum, the mean, or zero. With ``joint``
    one donor lends all units of all sites; without, every unit has a donor of its own.
    """

    important: Mapping[str, Tensor]
    fill: Fill = "resample"
    joint: bool = False

    def __post_init__(self) -> None:
        if self.fill not in get_args(Fill):
            raise ExplanationError(f"donor {self.fill!r} is not one of {', '.join(get_args(Fill))}")
        if not self.important:
            raise ExplanationError("a claim needs a site, and which of its units matter")

    @property
    def rule(self) -> str:
        """The donor rule in words, for reports."""
        how = ", joint" if self.joint else ", independent"
        return self.fill + (how if self.fill == "resample" else "")

    @property
    def sizes(self) -> tuple[int, int]:
        """How many units are said to matter, and of how many."""
        masks = [mask.bool() for mask in self.important.values()]
        return sum(int(m.sum()) for m in masks), sum(m.numel() for m in masks)

    def nothing(self) -> Claim:
        """The same sites and donors, with nothing said to matter."""
        return Claim(
            {s: torch.zeros_like(m, dtype=torch.bool) for s, m in self.important.items()},
            self.fill,
            self.joint,
        )


@dataclass(frozen=True, eq=False)
class Subjects:
    """A network on inputs [n, …]: its own outputs, activations at the claim's sites, and donors for them."""

    network: Network
    inputs: Tensor
    outputs: Tensor
    own: Mapping[str, Tensor]
    donors: Mapping[str, Tensor]

    @classmethod
    def of(cls, network: Network, inputs: Tensor, claim: Claim, seed: int = 0) -> Subjects:
        """Run the network once, and draw donors from a seed.  Raises :class:`ExplanationError`."""
        inputs = inputs.to(network.device)
        if len(inputs) < 2:
            raise ExplanationError(f"donors are other data: a trial needs two or more, got {len(inputs)}")
        sites = list(claim.important)
        with torch.no_grad():
            outputs, own = network.run(inputs, capture=sites)
        for site in sites:
            if (got := claim.important[site].shape) != own[site].shape[-1:]:
                raise ExplanationError(
                    f"claim at {site}: {tuple(got)} units, the site has {own[site].shape[-1]}"
                )
        generator = torch.Generator().manual_seed(seed)
        shared = _others(len(inputs), generator)
        donors = {site: _donors(own[site], claim, shared, generator) for site in sites}
        return cls(network, inputs, outputs, own, donors)

    def mixed(self, kept: Mapping[str, Tensor]) -> Tensor:
        """Outputs with m of each unit's own activation and 1 − m of its donor's; kept[site] is m, [units]
        or [n, units], Boolean or in [0, 1]. Gradients flow to m."""
        patches = {site: self._blend(site, m.to(self.network.device)) for site, m in kept.items()}
        return self.network.patched(self.inputs, patches)

    def _blend(self, site: str, m: Tensor) -> Intervention:
        donor = self.donors[site]
        by_datum = m if m.ndim == 1 else m.reshape(len(m), *[1] * (donor.ndim - 2), -1)

        def blended(a: Tensor) -> Tensor:
            return (
                torch.where(by_datum, a, donor) if m.dtype == torch.bool else donor + by_datum * (a - donor)
            )

        return blended


def _others(n: int, generator: torch.Generator) -> Tensor:
    """For each datum another one: a cycle through a random order."""
    order = torch.randperm(n, generator=generator)
    return torch.empty_like(order).scatter(0, order, order.roll(1))


def _donors(own: Tensor, claim: Claim, shared: Tensor, generator: torch.Generator) -> Tensor:
    if claim.fill == "zero":
        return torch.zeros_like(own)
    if claim.fill == "mean":
        return own.mean(0, keepdim=True).expand_as(own)
    if claim.joint:
        return own[shared.to(own.device)]
    columns = [own[_others(len(own), generator).to(own.device), ..., i] for i in range(own.shape[-1])]
    return torch.stack(columns, dim=-1)


def units_of(network: Network, inputs: Tensor, site: str, text: str) -> Tensor:
    """Units of a site [units] that a user names: ``0,3,7``, ``all``, ``none``, or ``top:SHARE``.

    The top units are those with the largest mean |activation · gradient| of the log-probability (of a
    regression: the squared length) of the model's own output. Raises :class:`ExplanationError`.
    """
    inputs = inputs.to(network.device)
    width = network.run(inputs[:2], capture=[site])[1][site].shape[-1]
    numbers = [part.strip() for part in text.split(",")]
    if text in ("all", "none"):
        return torch.full((width,), text == "all")
    if text.startswith("top:"):
        share = _share(text.removeprefix("top:"), text)
        order = _attributed(network, inputs, site).argsort(descending=True)
        return torch.zeros(width, dtype=torch.bool).scatter(0, order[: round(share * width)], True)
    if not all(n.isdecimal() and int(n) < width for n in numbers):
        raise ExplanationError(
            f"units {text!r} of {site}: expected numbers 0 to {width - 1}, all, none or top:SHARE"
        )
    return torch.zeros(width, dtype=torch.bool).scatter(0, torch.tensor([int(n) for n in numbers]), True)


def _share(text: str, whole: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ExplanationError(f"units {whole!r}: the share lies between 0 and 1")
    return share


def _attributed(network: Network, inputs: Tensor, site: str) -> Tensor:
    seen: dict[str, Tensor] = {}

    def watch(a: Tensor) -> Tensor:
        seen[site] = a.detach().requires_grad_()
        return seen[site]

    with torch.enable_grad():
        outputs = network.patched(inputs, {site: watch})
        categorical = network.output == "categorical"
        total = outputs.log_softmax(-1).amax(-1).sum() if categorical else outputs.square().sum()
        (gradient,) = torch.autograd.grad(total, [seen[site]])
    return (seen[site].detach() * gradient).abs().flatten(0, -2).mean(0).cpu()
