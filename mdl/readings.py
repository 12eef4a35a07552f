"""Other definitions of description length, as named readings, so that people can translate.

None of them is the length of a message that a receiver can decode; each says what it leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .lengths import log2_binomial

KBIT = 1024
"""Bits in the kbit of Voita & Titov."""


def mdl_sae_upper_bound(l0: float, bits_per_value: float, features: int) -> float:
    """L0 · (B + log2 D): values and an ordered list of indices, per sample; no dictionary, no correction.

    Source: Ayonrinde, Pearce & Sharkey 2024, arXiv 2410.11179, section 3.

    >>> round(mdl_sae_upper_bound(65, 7, 25_000), 1)
    1404.6
    """
    return l0 * bits_per_value + ordered_index_list(l0, features)


def ordered_index_list(active: float, parts: int) -> float:
    """k · log2 C: the active parts in some order, as if the order mattered."""
    return active * math.log2(parts)


def unordered_index_set(active: int, parts: int) -> float:
    """log2 C(C, k): which parts are active, when the receiver knows how many."""
    return float(log2_binomial(parts, active))


def parameter_count_bits(parameters: int, precision: float) -> float:
    """Every parameter at so many bits: the usual reading of a model's size."""
    return parameters * precision


def break_even(once: float, per_sample: float, baseline_per_sample: float) -> float:
    """The number of samples N at which ``once + N · per_sample`` meets ``N · baseline``; inf if never.

    >>> break_even(100, 1, 3)
    50.0
    """
    saved = baseline_per_sample - per_sample
    return once / saved if saved > 0 else math.inf


def apd_description_length(
    ranks: Mapping[str, Sequence[float]], active: Sequence[int], alpha: float, components: int
) -> float:
    """Σ over active c of (α Σ_l rank P_{c,l} + log2 C) in bits, for one sample.

    ``ranks[l][c]`` is the rank of component c in layer l; ``alpha`` is the free price of a rank. Source:
    Braun et al. 2025, arXiv 2501.14926, appendix A.2.
    """
    by_component = [sum(of_layer[c] for of_layer in ranks.values()) for c in active]
    return alpha * sum(by_component) + ordered_index_list(len(active), components)


def uniform_code(targets: int, classes: int) -> float:
    """n · log2 K: labels told without any model (Voita & Titov 2020, arXiv 2003.12298, section 2)."""
    return targets * math.log2(classes)


def equality_surprise(a: float, b: float) -> float:
    """−log2 of the relative difference of two numbers: how surprising it is that they are so nearly equal.

    A term of ARC's surprise accounting; a and b are compared relative to their mean.

    >>> equality_surprise(1.0, 1.0 + 2**-10) > 9.9
    True
    """
    difference = 2 * abs(a - b) / abs(a + b)
    return -math.log2(difference) if difference else math.inf
