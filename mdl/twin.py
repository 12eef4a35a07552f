"""The decodable twin of KL: outcomes y drawn from the model's p, coded under the explanation's q.

Row by row −log2 q(y) + log2 p(y) has the mean KL(p ‖ q) and a variance that p and q fix, so the standard
error of the sum is known and not estimated. Rows where KL is infinite pay a flag and the raw outcome.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .lengths import kt_bernoulli
from .target import kl_bits


@dataclass(frozen=True)
class Twin:
    """Sums over ``rows``, in bits; those over the rows of finite KL leave out the ``denied`` ones.

    ``escapes``: flags and raw outcomes. ``coded``: −log2 q(y). ``sampling``: −log2 p(y), what telling y costs
    a receiver who knows p. ``kl``: the expectation of coded − sampling, and ``variance`` its variance.
    """

    rows: int
    seed: int
    denied: int
    escapes: float
    coded: float
    sampling: float
    kl: float
    variance: float

    @classmethod
    def of(cls, predicted: Tensor, truth: Tensor, y: Tensor, seed: int) -> Twin:
        """From logits of q and p [rows, K] and the outcomes [rows] that were drawn."""
        kl = kl_bits(truth, predicted)
        finite = torch.isfinite(kl)
        log_p, log_q = (_log2(logits[finite]) for logits in (truth, predicted))
        chosen = y.to(log_p.device)[finite][:, None]
        p = log_p.exp2()
        ratio = torch.where(p > 0, log_p - log_q, torch.zeros_like(p))
        variance = (p * (ratio - kl[finite][:, None]) ** 2).sum()
        denied = len(kl) - int(finite.sum())
        escapes = 0.0
        if denied:
            escapes = float(kt_bernoulli(denied, len(kl))) + denied * math.log2(truth.shape[1])
        coded, sampling = (-float(log.gather(1, chosen).sum()) for log in (log_q, log_p))
        return cls(len(kl), seed, denied, escapes, coded, sampling, float(kl[finite].sum()), float(variance))

    @property
    def bits(self) -> float:
        """The length of the code of all outcomes."""
        return self.coded + self.escapes

    @property
    def error(self) -> float:
        """Standard error of coded − sampling as an estimate of KL, bits."""
        return math.sqrt(self.variance)

    def checks(self) -> dict[str, float | int]:
        """The rows of a report."""
        return {
            "twin_bits": self.bits,
            "twin_sampling_bits": self.sampling,
            "twin_kl_bits": self.coded - self.sampling,
            "twin_kl_expected_bits": self.kl,
            "twin_standard_error_bits": self.error,
            "twin_denied_rows": self.denied,
            "twin_seed": self.seed,
        }


def _log2(logits: Tensor) -> Tensor:
    return logits.double().log_softmax(-1) / math.log(2)
