"""Training compute recovered: how much compute a model would need to be as good as an explanation is.

C(L) is the least training compute that reaches the loss L, read from measured points of a loss-versus-compute
curve: its monotone envelope, a power law between neighbours. The reading is C(L_E) / C(L_M). Loss falls
slowly with compute, so almost all of the loss may be recovered by a small part of the compute. Source:
L. Gao et al. 2024, "Scaling and evaluating sparse autoencoders", arXiv 2406.04093, section 4.1.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .lengths import Floats

ROUNDING = 1e-5
"""Relative difference of two losses that float32 may make of the same network and data."""


class CurveError(ValueError):
    """A curve that cannot be read, or that says nothing about a loss."""


@dataclass(frozen=True, eq=False)
class ComputeCurve:
    """The envelope: ``compute`` ascends (any unit, FLOP for instance), ``loss`` (nats) strictly descends."""

    compute: Floats
    loss: Floats

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]]) -> ComputeCurve:
        """The envelope of (compute, loss) points in any order; raises :class:`CurveError`.

        >>> ComputeCurve.of([(4, 1.0), (1, 2.0), (2, 2.5)]).compute.tolist()
        [1.0, 4.0]
        """
        given = np.array(sorted(points), dtype=np.float64).reshape(-1, 2)
        if not np.isfinite(given).all() or (given[:, 0] < 0).any():
            raise CurveError("a curve of compute holds numbers that are negative, infinite or undefined")
        before = np.minimum.accumulate(np.append(math.inf, given[:, 1]))[:-1]
        compute, loss = given[given[:, 1] < before].T
        if loss.size < 2:
            raise CurveError(f"a curve of compute needs two falling points or more, got {len(given)} points")
        return cls(compute, loss)

    @classmethod
    def load(cls, path: Path | str) -> ComputeCurve:
        """From CSV with the columns compute and loss, or JSON: {"compute": […], "loss": […]}.

        Raises :class:`CurveError` that names the file and what is wrong with it.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            return cls.of(_json(text) if path.suffix == ".json" else _csv(text))
        except FileNotFoundError as error:
            raise CurveError(f"{path}: there is no such file") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            told = f"there is no column or key {error}" if isinstance(error, KeyError) else str(error)
            raise CurveError(f"{path}: {told}; expected compute and loss, as CSV or JSON") from error

    def needed(self, loss: float) -> float:
        """C(L), the least compute that reaches a loss; below the curve's end no compute is known to: inf.

        A loss at or above the first point needs at most the first point's compute.
        """
        if not loss < self.loss[0]:
            return float(self.compute[0])
        if loss <= self.loss[-1]:
            return (
                float(self.compute[-1]) if loss >= self.loss[-1] - abs(self.loss[-1]) * ROUNDING else math.inf
            )
        i = int(np.searchsorted(-self.loss, -loss))
        (c0, c1), (l0, l1) = self.compute[i - 1 : i + 1].tolist(), self.loss[i - 1 : i + 1].tolist()
        if loss <= l1:
            return float(c1)
        if c0 > 0 and l1 > 0:
            share = _log_ratio(l0, float(loss)) / _log_ratio(l0, l1)
            found = math.exp(math.log(c0) + share * _log_ratio(c1, c0))
        else:
            found = c0 + (c1 - c0) * ((l0 - loss) / (l0 - l1))
        return float(min(max(found, c0), c1))

    def recovered(self, model: float, explanation: float) -> float:
        """C(L_E) / C(L_M), at most 1: the model itself recovers all of it, exactly.

        Raises :class:`CurveError` where the model's loss is not on the curve.
        """
        whole = self.needed(model)
        if not 0 < whole < math.inf:
            raise CurveError(
                f"the model's loss of {model:.6g} nats is not on the curve, measured on other data? It "
                f"goes from {self.loss[0]:.6g} to {self.loss[-1]:.6g}"
            )
        return 1.0 if explanation <= model else min(self.needed(explanation) / whole, 1.0)


def _log_ratio(high: float, low: float) -> float:
    """ln(high / low), for quotients beyond float64 as well (a compute of 10⁻³¹⁰ beside one of 1)."""
    ratio = high / low
    return math.log(ratio) if ratio < math.inf else math.log(high) - math.log(low)


def _csv(text: str) -> list[tuple[float, float]]:
    points = []
    for number, row in enumerate(csv.DictReader(text.splitlines()), start=2):
        try:
            points.append((float(row["compute"]), float(row["loss"])))
        except (ValueError, TypeError) as error:
            raise CurveError(f"line {number}: {row} is no pair of numbers") from error
    return points


def _json(text: str) -> list[tuple[float, float]]:
    found = json.loads(text)
    pairs = zip(found["compute"], found["loss"], strict=True)
    return [(float(compute), float(loss)) for compute, loss in pairs]
