"""Other definitions of description length, read from the run that was scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from assay.mdl import Parts, PartTensor, Score, one_part
from assay.mdl.audit import channel_of
from assay.mdl.keyed import keyed
from assay.mdl.lengths import Floats
from assay.mdl.readings import (
    apd_description_length,
    bits_per_value,
    mdl_sae_upper_bound,
    ordered_index_list,
    parameter_count_bits,
    saebench_corrected,
)
from assay.mdl.site import chunks, usage_of
from assay.mdl.tally import merge

from .components import Components
from .losses import loss_readings
from .student import Student
from .weighing import Evidence, site_problem


def readings_of(evidence: Evidence, sent: Any, score: Score) -> dict[str, float]:
    """Readings by the names of ``assay.mdl.readings.READINGS``, as far as they apply."""
    if isinstance(sent, Student):
        return {}
    return {**_definitions(evidence, sent, score), **loss_readings(evidence, sent, score)}


def _definitions(evidence: Evidence, sent: Any, score: Score) -> dict[str, float]:
    """Other definitions of description length."""
    usage, precision = score.usage, int(score.knobs["precision"])
    parts = _parts(sent)
    numbers = _numbers(parts, nonzero=False)
    used = np.append(usage.counts > 0, True)
    found = {
        "parameters": float(numbers @ used),
        "parameter_bits": float(parameter_count_bits(int(numbers @ used), precision)),
    }
    if usage.parts > 1:
        found["ordered_index_list"] = ordered_index_list(usage.mean_size, usage.parts)
    if evidence.question.setting == "site":
        return {**found, **_site_readings(evidence, sent, score)}
    if isinstance(sent, Components):
        found["apd"] = _apd(sent, score, precision)
    acting = np.append(usage.counts / max(usage.n, 1), 1.0)
    return {**found, "edges": float(_numbers(parts, nonzero=True) @ acting)}


def _site_readings(evidence: Evidence, sent: Any, score: Score) -> dict[str, float]:
    """What needs the coefficients: one more pass over them."""
    problem = site_problem(evidence)
    channel = channel_of(sent, problem, score)
    where = (rows for _, rows in chunks(len(problem.x), problem.positions, 1))
    codes = [channel.integers(problem.x[rows]) for rows in where]
    usage = merge(map(usage_of, codes))
    values = merge(keyed(code.part, code.value) for code in codes)
    return {
        "mdl_sae": mdl_sae_upper_bound(usage.mean_size, bits_per_value(values), usage.parts),
        "saebench": saebench_corrected(usage, values),
    }


def _parts(sent: Any) -> Parts:
    """The parts of a mechanism; those of a site are its dictionary's rows, and the bias for all."""
    if not hasattr(sent, "dictionary"):
        parts: Parts = sent.parts()
        return parts
    dictionary = sent.dictionary()
    bias = one_part("bias", dictionary.bias, dictionary.parts)
    if dictionary.rows is None:
        return Parts(dictionary.parts, (bias,))
    rows = PartTensor("rows", dictionary.rows, torch.arange(dictionary.parts))
    return Parts(dictionary.parts, (rows, bias))


def _numbers(parts: Parts, nonzero: bool) -> Floats:
    """How many numbers (or how many that are not zero) each part holds, the remainder last."""
    total = np.zeros(parts.count + 1)
    for tensor in parts.tensors:
        values = tensor.values[:1] if _alike(tensor) else tensor.values
        keep = (values != 0) if nonzero else values.new_ones(values.shape).bool()
        if tensor.mask is not None:
            keep = keep & tensor.mask.to(keep.device)
        sizes = keep.flatten(1).sum(1) if keep.ndim > 1 else keep.long()
        each = sizes.cpu().numpy()
        np.add.at(total, tensor.owner.cpu().numpy(), np.broadcast_to(each, tensor.owner.shape))
    return total


def _alike(tensor: PartTensor) -> bool:
    """Whether all slices are views of one (a lookup table's copies)."""
    return len(tensor.values) > 1 and tensor.values.stride(0) == 0


def _apd(sent: Components, score: Score, precision: int) -> float:
    """Rank-1 components, α the bits of its two vectors: Σ_c (share of samples with c) (α_c + log2 C)."""
    usage = score.usage
    rank = {"all": [1.0] * usage.parts}
    sizes = _numbers(sent.parts(), nonzero=False)[:-1]
    share = usage.counts / max(usage.n, 1)
    lengths = (
        apd_description_length(rank, [int(c)], precision * float(sizes[c]), usage.parts)
        for c in np.flatnonzero(usage.counts)
    )
    return float(sum(p * bits for p, bits in zip(share[usage.counts > 0].tolist(), lengths, strict=True)))
