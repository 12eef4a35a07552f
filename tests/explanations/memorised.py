"""What detectors see of a network that memorised repeated data."""

import torch
from assay.explanations.anomalies import Memorised, Observations


def seen(toy: Memorised, x: torch.Tensor) -> Observations:
    outputs, captured = toy.network.run(x, capture=["hook_hidden"])
    return Observations(captured["hook_hidden"], 1, outputs, x, x)
