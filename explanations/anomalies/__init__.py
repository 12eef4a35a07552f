"""Mechanistic anomaly detection: what a short explanation of trusted data does not shorten.

Detectors give each datum a score (:class:`Detector`): bits of activations (:class:`SiteBits`) or of
outputs (:class:`OutputBits`) under an explanation fitted to trusted data at a budget, the worst case over
explanations, fine-tuning for each input, and the field's usual ones. :func:`judge` adds p-values,
AUROC and the two gates.
"""

from .beam import Beam
from .classical import LocalOutliers, NegativeLoss, Quadratic, leverage, mahalanobis
from .detection import Detection, Detector, Verdicts, anomaly_labels, complete_gate, judge, usual_detectors
from .explained import explained
from .growth import Grown, Growth, Limited, PartsGrowth
from .measures import Detected, auroc, detected, false_alarms, mean_interval, p_values
from .observations import Observations, observe, observed
from .output_bits import OutputBits, tolerated_delta, usual_output_delta
from .repeated import Memorised, RepeatedData, train_repeated
from .restriction import restricted
from .shortest import ShortestCode
from .site_bits import SiteBits, usual_delta, within_budget
from .worst import WorstCase, WorstGaussian

__all__ = [
    "Beam",
    "Detected",
    "Detection",
    "Detector",
    "Grown",
    "Growth",
    "Limited",
    "LocalOutliers",
    "Memorised",
    "NegativeLoss",
    "Observations",
    "OutputBits",
    "PartsGrowth",
    "Quadratic",
    "RepeatedData",
    "ShortestCode",
    "SiteBits",
    "Verdicts",
    "WorstCase",
    "WorstGaussian",
    "anomaly_labels",
    "auroc",
    "complete_gate",
    "detected",
    "explained",
    "false_alarms",
    "judge",
    "leverage",
    "mahalanobis",
    "mean_interval",
    "observe",
    "observed",
    "p_values",
    "restricted",
    "tolerated_delta",
    "train_repeated",
    "usual_delta",
    "usual_detectors",
    "usual_output_delta",
    "within_budget",
]
