"""Other definitions of description length, as named readings, so that people can translate.

None of them is the length of a message that a receiver can decode; each says what it leaves out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .keyed import split
from .lengths import Floats, log2_binomial
from .tally import Histogram, Usage

READINGS = {
    "mdl_sae": ("MDL-SAE", "L0 (B + log2 D): an ordered list; no dictionary, no correction"),
    "ordered_index_list": ("index list", "L0 log2 C: which parts, as if their order mattered"),
    "saebench": ("SAEBench, mended", "Σ_f H(p_f) + p_f H(v_f | f fires): plug-in; nothing for histograms"),
    "apd": ("APD", "Σ_active (α rank + log2 C), α the bits of one rank: paid for every datum; no correction"),
    "edges": ("edges", "non-zero weights that act on a sample: a count, no bits"),
    "parameters": ("parameters", "numbers in the parts in use: a count, no bits"),
    "parameter_bits": ("× precision", "those numbers at the run's precision, bits in all; no entropy coding"),
    "loss": (
        "loss",
        "nats of the data's labels under the explanation: the model's own task, not its outputs",
    ),
    "loss_recovered": ("recovered", "(L_0 − L_E) / (L_0 − L_M); L_0: site at zero, or even odds (mechanism)"),
    "compute_recovered": ("of compute", "C(L_E) / C(L_M) on a given curve of loss and training compute"),
}
"""Readings that come with a score: how a column is headed, and what it says and leaves out.

Per sample, but for ``parameters``, ``parameter_bits``, and the last two, which are fractions.
"""

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


def plug_in_entropy(counts: Floats) -> float:
    """H of the empirical distribution, bits per symbol."""
    p = counts[counts > 0] / counts.sum() if counts.size and counts.sum() else counts[:0]
    return float(-(p * np.log2(p)).sum())


def saebench_corrected(usage: Usage, values: Histogram) -> float:
    """Σ_f [H(p_f) + p_f · H(v_f | f fires)], bits per sample, from counts (values keyed by feature).

    SAEBench's ``mdl`` with its slips mended: the zeros are not among the values, and bins are the steps of
    the run. Plug-in entropies: the histograms that a receiver needs are not charged.

    >>> from .keyed import keyed
    >>> usage = Usage(np.array([2]), 4, Histogram(np.array([0, 1]), np.array([2, 2])))
    >>> saebench_corrected(usage, keyed(np.array([0, 0]), np.array([5, 6])))    # 1 bit, and half of another
    1.5
    """
    if not usage.n:
        return 0.0
    fires = math.fsum(plug_in_entropy(np.array([k, usage.n - k], dtype=np.float64)) for k in usage.counts)
    keys = split(values)[0]
    each = (values.counts[keys == f].astype(np.float64) for f in np.unique(keys))
    return fires + math.fsum(n.sum() * plug_in_entropy(n) for n in each) / usage.n


def bits_per_value(values: Histogram) -> float:
    """B of MDL-SAE: log2 of how many steps lie between the smallest and the largest value, both included."""
    symbols = split(values)[1]
    return math.log2(int(symbols.max() - symbols.min()) + 1) if symbols.size else 0.0
