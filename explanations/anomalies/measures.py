"""How well scores tell anomalies from the rest, and thresholds with a guarantee."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from assay.explanations.errors import ExplanationError
from torch import Tensor


def auroc(ordinary: Tensor, anomalous: Tensor) -> float:
    """P(an anomaly scores higher than an ordinary datum), ties count half.

    >>> auroc(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]))
    0.875
    """
    if not len(ordinary) or not len(anomalous):
        raise ExplanationError(f"AUROC of {len(ordinary)} ordinary and {len(anomalous)} anomalous data")
    ranked = ordinary.double().sort().values
    told = anomalous.double().contiguous()
    below = torch.searchsorted(ranked, told, right=False)
    upto = torch.searchsorted(ranked, told, right=True)
    return float((below + upto).double().mean()) / (2 * len(ranked))


@dataclass(frozen=True)
class Detected:
    """AUROC with its 95 % bootstrap interval over data."""

    auroc: float
    low: float
    high: float


def detected(ordinary: Tensor, anomalous: Tensor, draws: int = 500, seed: int = 0) -> Detected:
    """AUROC, and the interval of both samples drawn again with replacement."""
    generator = torch.Generator().manual_seed(seed)

    def again(scores: Tensor) -> Tensor:
        return scores[torch.randint(len(scores), (len(scores),), generator=generator)]

    drawn = torch.tensor([auroc(again(ordinary), again(anomalous)) for _ in range(draws)])
    low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975])).tolist()
    return Detected(auroc(ordinary, anomalous), low, high)


def mean_interval(figures: list[float], draws: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Mean over seeds, and its 95 % interval with seeds drawn again."""
    values = torch.tensor(figures, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    means = values[torch.randint(len(values), (draws, len(values)), generator=generator)].mean(1)
    low, high = torch.quantile(means, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return float(values.mean()), low, high


def false_alarms(
    calibration: int, tested: int, alpha: float, seeds: int = 1, draws: int = 20_000
) -> tuple[float, float]:
    """Where the mean rate of p <= alpha over seeds lies with 95 % where all data are exchangeable.

    The calibration data are drawn as well, so the rate of one seed is Beta-binomial: for k = ⌊alpha (m + 1)⌋
    Beta(k, m + 1 − k) and n tests (V. Vovk 2012, conditional validity). A spread over few seeds is narrower.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    k = math.floor(alpha * (calibration + 1))
    if k < 1:
        return 0.0, 0.0
    rates = rng.binomial(tested, rng.beta(k, calibration + 1 - k, (draws, seeds))) / tested
    low, high = np.quantile(rates.mean(1), (0.025, 0.975))
    return float(low), float(high)


def p_values(calibration: Tensor, scores: Tensor) -> Tensor:
    """Conformal p-values: (1 + how many calibration scores are at least as high) / (m + 1).

    If a datum is exchangeable with the calibration data, P(p <= alpha) <= alpha (Vovk et al. 2005; Bates et
    al. 2023). The detector must have been fitted without the calibration data.

    >>> p_values(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.5, 9.0])).tolist()
    [0.5, 0.25]
    """
    if not len(calibration):
        raise ExplanationError("conformal p-values need calibration data")
    ranked = calibration.double().sort().values
    at_least = len(ranked) - torch.searchsorted(ranked, scores.double().contiguous(), right=False)
    return (1 + at_least).double() / (len(ranked) + 1)
