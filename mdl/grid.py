"""Float to integer and back: data and coefficients on a grid of one step.

A prediction is made in exact integer arithmetic (sums of products of integers, each below 2⁵³, in
float64), so that sender and receiver, CPU and GPU, any batch and any order get the same integers.
"""

from __future__ import annotations

import torch
from torch import Tensor


class GridError(ValueError):
    """A number that has no place on a grid."""


EXACT = 2.0**53


def quantise(values: Tensor, step: float) -> Tensor:
    """round(values / step), half to even, as int64.

    Raises :class:`GridError` for NaN, infinities, and magnitudes that float64 cannot hold exactly.
    """
    return rounded(values, step).long()


def rounded(values: Tensor, step: float) -> Tensor:
    """The same integers, still in float64."""
    return scaled(values, step).round_()


def scaled(values: Tensor, step: float) -> Tensor:
    """values / step in float64, all of which have a place on the grid."""
    if not step > 0:
        raise GridError(f"a step must be positive, got {step}")
    steps = values.double() / step
    if not steps.numel():
        return steps
    low, high = steps.aminmax()  # NaN if any is
    if -EXACT < float(low) <= float(high) < EXACT:
        return steps
    if not bool(torch.isfinite(steps).all()):
        bad = int((~torch.isfinite(steps)).sum())
        raise GridError(f"{bad} of {steps.numel()} numbers are NaN or infinite; the grid holds finite ones")
    raise GridError(f"step {step:g} is too fine for numbers up to {float(values.abs().max()):g}")


def restore(integers: Tensor, step: float) -> Tensor:
    """integers · step, float64."""
    return integers.double() * step
