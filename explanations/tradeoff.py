"""Frontiers side by side: at which distortions they are compared, and the Gaussian yardstick beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from assay.mdl.frontier import Frontier, Measure, common_levels, gaussian_yardstick

from .errors import ExplanationError
from .frontiers import frontiers
from .weighing import Evidence, Progress, scope_of

MEASURES: tuple[Measure, ...] = ("kl", "fvu")


@dataclass(frozen=True)
class Tradeoff:
    """What ``assay frontier`` tells.

    ``levels`` are the distortions of the comparison, by measure; ``yardstick`` is (FVU, bits) at those of
    FVU, and ``bound`` the same along the whole range.
    """

    about: str
    unit: str
    frontiers: tuple[Frontier, ...]
    levels: dict[Measure, list[float]]
    yardstick: tuple[tuple[float, float], ...]
    bound: tuple[tuple[float, float], ...]


def tradeoff(
    evidence: Evidence, specs: Sequence[str], at: Sequence[float] = (), progress: Progress | None = None
) -> Tradeoff:
    """Trace every explanation, and compare at the distortions ``at``, or at five that all can keep to."""
    found = frontiers(evidence, specs, progress)
    measured = [m for m in MEASURES if any(f.hull(m) for f in found)]
    if not measured:
        raise ExplanationError("neither KL nor FVU could be measured, so there is nothing to compare at")
    levels = {m: sorted(at) or common_levels(found, m) for m in measured}
    scope, x = scope_of(evidence, "zero"), evidence.activations
    where = f" at {scope.site}" if scope.setting == "site" else ""
    about = f"{scope.setting}: {scope.model or 'cached activations'}{where} · {scope.rows:,} {scope.unit}s"
    if x is None or "fvu" not in levels:
        return Tradeoff(about, scope.unit, tuple(found), levels, (), ())
    low = min(f.reach("fvu")[0] for f in found if f.hull("fvu"))
    along = np.geomspace(max(low, 1e-6), 0.99, 40).tolist() if low < 0.99 else []
    return Tradeoff(
        about,
        scope.unit,
        tuple(found),
        levels,
        tuple(gaussian_yardstick(x.values, levels["fvu"])),
        tuple(gaussian_yardstick(x.values, along)),
    )
