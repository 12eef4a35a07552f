"""Detectors fitted to trusted data, scored on a test set, with a guarantee and two gates.

The gates run every time: a complete explanation must tell nothing (AUROC exactly 1/2), and trusted data must
not look strange beside trusted data (about 1/2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.whole import WholeNetwork
from assay.models import Network
from torch import Tensor

from .classical import LocalOutliers, NegativeLoss, leverage, mahalanobis
from .measures import Detected, auroc, detected, p_values
from .observations import Observations
from .output_bits import FINEST, OutputBits, usual_output_delta

FIT = 2 / 3
"""Of the trusted data: what detectors are fitted to. The rest calibrates the p-values."""


class Detector(Protocol):
    """Scores of data; the higher, the stranger."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def score(self, seen: Observations) -> Tensor:
        """[n], float64."""


@dataclass(frozen=True, eq=False)
class Verdicts:
    """A detector on a test set: scores and conformal p-values [n]; figures where labels are given.

    ``false_positives`` is the share of ordinary test data with p <= alpha, ``found`` that of anomalies.
    ``no_anomaly`` is AUROC of one half of the calibration data against the other: about 1/2.
    """

    name: str
    scores: Tensor
    p: Tensor
    no_anomaly: Detected
    detected: Detected | None = None
    false_positives: float | None = None
    found: float | None = None


@dataclass(frozen=True, eq=False)
class Detection:
    """All verdicts, and AUROC of the complete explanation, which is exactly 1/2 (None without a network)."""

    verdicts: tuple[Verdicts, ...]
    complete: float | None
    alpha: float

    @property
    def gates(self) -> bool:
        """Whether both gates held: for every detector 1/2 lies in the interval without an anomaly."""
        calm = all(v.no_anomaly.low <= 0.5 <= v.no_anomaly.high for v in self.verdicts)
        return calm and self.complete in (None, 0.5)


def usual_detectors(trusted: Observations) -> list[Detector]:
    """The field's detectors, as far as the observations allow."""
    found: list[Detector] = []
    if trusted.activations is not None:
        found += [mahalanobis(trusted), leverage(trusted), LocalOutliers(trusted)]
    if trusted.outputs is not None and trusted.labels is not None:
        found.append(NegativeLoss())
    return found


def judge(
    detectors: Sequence[Detector],
    calibration: Observations,
    test: Observations,
    anomalous: Tensor | None = None,
    alpha: float = 0.05,
    network: Network | None = None,
) -> Detection:
    """Score the test data by every detector; ``anomalous`` [n] Boolean says which are anomalies.

    The detectors must have been fitted without the calibration data. Raises :class:`ExplanationError`.
    """
    if anomalous is not None and anomalous.shape != (test.size,):
        raise ExplanationError(
            f"labels {tuple(anomalous.shape)} of anomalies, expected [{test.size}], one each"
        )
    if not 0 < alpha < 1:
        raise ExplanationError(f"alpha is between 0 and 1, got {alpha}")
    verdicts = tuple(_verdicts(one, calibration, test, anomalous, alpha) for one in detectors)
    complete = None
    if network is not None:
        complete = complete_gate(network, calibration, test, anomalous)
    return Detection(verdicts, complete, alpha)


def _verdicts(
    detector: Detector, calibration: Observations, test: Observations, anomalous: Tensor | None, alpha: float
) -> Verdicts:
    known, scores = detector.score(calibration), detector.score(test)
    p = p_values(known, scores)
    calm = detected(known[::2], known[1::2])
    if anomalous is None or not anomalous.any() or bool(anomalous.all()):
        return Verdicts(detector.name, scores, p, calm)
    flagged = p <= alpha
    return Verdicts(
        detector.name,
        scores,
        p,
        calm,
        detected(scores[~anomalous], scores[anomalous]),
        float(flagged[~anomalous].double().mean()),
        float(flagged[anomalous].double().mean()),
    )


def complete_gate(
    network: Network, calibration: Observations, test: Observations, anomalous: Tensor | None = None
) -> float:
    """AUROC of output bits given the whole network: exactly 1/2, or the bits hold something else.

    Without labels the test data stand against the calibration data.
    """
    delta = None
    if network.output == "regression":
        delta = usual_output_delta(calibration)
    whole = OutputBits.fit(WholeNetwork(network), calibration, delta, precision=FINEST)
    scores = whole.score(test)
    if anomalous is None or not anomalous.any() or bool(anomalous.all()):
        return auroc(whole.score(calibration), scores)
    return auroc(scores[~anomalous], scores[anomalous])


def anomaly_labels(values: Tensor) -> Tensor:
    """0 and 1 (or Booleans) as Booleans; raises :class:`ExplanationError` for anything else."""
    flat = values.flatten()
    if not bool(((flat == 0) | (flat == 1)).all()):
        raise ExplanationError("labels of anomalies are 0 (ordinary) or 1 (anomalous), and nothing else")
    return flat.to(torch.bool)
