"""Scrubbing: resample what is said not to matter, and remove what is said to matter.

Sufficiency, necessity by witness, an adversary who adds parts back, and masks in [0, 1] over them (SPD,
Bushnaq et al. 2025, arXiv 2506.20790: every superset of the important parts must do).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from assay.explanations.errors import ExplanationError
from assay.mdl import MechanismProblem, score_mechanism
from assay.mdl.compute import ComputeCurve
from assay.models import Network
from torch import Tensor

from .claims import Claim, Subjects
from .divergence import FAITHFUL, Sufficiency, divergences, sufficiency


def scrub(
    network: Network,
    inputs: Tensor,
    claim: Claim,
    labels: Tensor | None = None,
    seed: int = 0,
    curve: ComputeCurve | None = None,
) -> Sufficiency:
    """Replace every unit that is said not to matter by its donor, on inputs [n, …]."""
    subjects = Subjects.of(network, inputs, claim, seed)
    with torch.no_grad():
        told = subjects.mixed({site: m.bool() for site, m in claim.important.items()})
        nothing = subjects.mixed(claim.nothing().important)
    return sufficiency(network, subjects.outputs, told, nothing, labels, curve)


@dataclass(frozen=True)
class Witness:
    """A unit that is said to matter, and the datum on which its removal moves the outputs most."""

    site: str
    unit: int
    datum: int
    divergence: float
    tolerance: float

    @property
    def needed(self) -> bool:
        """Whether it does."""
        return self.divergence > self.tolerance


def witnesses(network: Network, inputs: Tensor, claim: Claim, seed: int = 0) -> list[Witness]:
    """For each important unit, replaced by its donor alone, the datum that shows it best."""
    subjects = Subjects.of(network, inputs, claim, seed)
    found = []
    for site, mask in claim.important.items():
        for unit in mask.nonzero().flatten().tolist():
            kept = torch.ones_like(mask, dtype=torch.bool)
            kept[unit] = False
            with torch.no_grad():
                moved = divergences(network, subjects.outputs, subjects.mixed({site: kept}))
            datum = int(moved.argmax())
            found.append(Witness(site, unit, datum, float(moved[datum]), FAITHFUL[network.output]))
    return found


@dataclass(frozen=True)
class Supersets:
    """Divergence under masks over the unimportant units: none added, random ones (mean, worst), adversary."""

    none: float
    random_mean: float
    random_worst: float
    adversary: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether no superset that was tried moves the outputs."""
        return max(self.none, self.random_worst, self.adversary) <= self.tolerance


def masks(
    network: Network, inputs: Tensor, claim: Claim, seed: int = 0, draws: int = 8, steps: int = 20
) -> Supersets:
    """Means over data under random masks in [0, 1], and the worst found by projected gradient.

    The adversary has a mask for each datum and takes ``steps`` of sign gradient, from random and from no
    additions; Boolean masks are within reach.
    """
    subjects = Subjects.of(network, inputs, claim, seed)
    generator = torch.Generator().manual_seed(seed)
    drawn = [_moved(subjects, claim, _random(subjects, claim, generator)) for _ in range(draws)]
    none = _moved(subjects, claim, {s: m.float() for s, m in claim.important.items()})
    starts = [
        {s: m.float().expand(len(inputs), -1) for s, m in claim.important.items()},
        _random(subjects, claim, generator),
    ]
    worst = torch.stack([_ascend(subjects, claim, start, steps) for start in starts]).amax(0)
    means = [float(d.mean()) for d in drawn]
    worst_case = max(float(worst.mean()), float(none.mean()))
    return Supersets(float(none.mean()), sum(means) / draws, max(means), worst_case, FAITHFUL[network.output])


def _random(subjects: Subjects, claim: Claim, generator: torch.Generator) -> dict[str, Tensor]:
    n = len(subjects.inputs)
    return {
        s: torch.maximum(torch.rand(n, len(m), generator=generator), m.float())
        for s, m in claim.important.items()
    }


def _moved(subjects: Subjects, claim: Claim, kept: Mapping[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return divergences(subjects.network, subjects.outputs, subjects.mixed(kept))


def _ascend(subjects: Subjects, claim: Claim, start: Mapping[str, Tensor], steps: int) -> Tensor:
    """The largest divergence of each datum [n] on the way of projected sign gradient ascent."""
    kept, best = {s: m.clone() for s, m in start.items()}, _moved(subjects, claim, start)
    for step in range(steps):
        rate = 0.5 * (1 - step / steps)
        with torch.enable_grad():
            leaves = {s: m.requires_grad_() for s, m in kept.items()}
            total = divergences(subjects.network, subjects.outputs, subjects.mixed(leaves)).sum()
            slopes = torch.autograd.grad(total, list(leaves.values()))
        kept = {
            s: torch.maximum((m.detach() + rate * g.sign()).clamp(0, 1), claim.important[s].float())
            for (s, m), g in zip(leaves.items(), slopes, strict=True)
        }
        best = torch.maximum(best, _moved(subjects, claim, kept))
    return best


@dataclass(frozen=True)
class Removal:
    """Total bits of an explanation with a part, and without it."""

    part: int
    bits_with: float
    bits_without: float

    @property
    def needed(self) -> bool:
        """Whether the message gets longer without it."""
        return self.bits_without > self.bits_with


def necessity_in_bits(
    explanation: object, without: Mapping[int, object], problem: MechanismProblem, precision: int = 8
) -> list[Removal]:
    """Necessity by description length: each part's removal must lengthen the message.

    ``without[part]`` is the explanation that lacks that part (see ``anomalies.restricted``).
    """
    if not without:
        raise ExplanationError("necessity: name the parts to remove")
    whole = score_mechanism(explanation, problem, precision).ledger.total  # type: ignore[arg-type]
    return [
        Removal(part, whole, score_mechanism(one, problem, precision).ledger.total)  # type: ignore[arg-type]
        for part, one in without.items()
    ]
