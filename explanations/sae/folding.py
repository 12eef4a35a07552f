"""Other ways to write the same SAE, folded into the weights of :class:`SAE`: equal on every input.

Also what makes a smaller or sparser SAE out of one: nested widths, fewer active features.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from assay.explanations.errors import ExplanationError
from torch import Tensor

from .weights import CHOOSES_K, SAE


def gated(W_enc: Tensor, r_mag: Tensor, b_gate: Tensor, b_mag: Tensor) -> dict[str, Tensor]:
    """W_enc, b_enc and threshold of the JumpReLU that equals a gated encoder.

    [x'W + b_gate > 0] · relu(x'(W e^r) + b_mag) is pre · [pre > θ] with pre = x'(W e^r) + b_mag and
    θ = b_mag − e^r b_gate (Rajamanoharan et al. 2024, arXiv 2404.16014, section 3.2).
    """
    gain = r_mag.exp()
    return {"W_enc": W_enc * gain, "b_enc": b_mag, "threshold": b_mag - gain * b_gate}


def unit_rows(sae: SAE) -> SAE:
    """Decoder rows at norm 1, their norms in the encoder: what rescale_acts_by_decoder_norm encodes with.

    A row of zeros stays one, and its feature never fires.
    """
    norm = sae.W_dec.norm(dim=1)
    return replace(
        sae,
        W_enc=sae.W_enc * norm,
        b_enc=sae.b_enc * norm,
        W_dec=sae.W_dec / torch.where(norm > 0, norm, 1.0)[:, None],
        threshold=None if sae.threshold is None else sae.threshold * norm,
    )


def rescaled(sae: SAE, factor: float) -> SAE:
    """The SAE of x that encodes factor · x with the given one, and divides what it says by factor.

    Activations stay as they were (Anthropic, April 2024 update; SAELens' expected_average_only_in).
    """
    if not 0 < factor < float("inf"):
        raise ExplanationError(f"SAE: inputs are scaled by a positive number, got {factor}")
    router = sae.router and replace(sae.router, W=sae.router.W * factor, b=sae.router.b / factor)
    return replace(
        sae, W_enc=sae.W_enc * factor, W_dec=sae.W_dec / factor, b_dec=sae.b_dec / factor, router=router
    )


def nested(sae: SAE, width: int) -> SAE:
    """The first features of a Matryoshka SAE (Bussmann et al. 2025, arXiv 2503.17547)."""
    if sae.prefixes and width not in sae.prefixes:
        known = ", ".join(map(str, sae.prefixes))
        raise ExplanationError(f"SAE: width={width} is not one of its nested widths {known}")
    if not sae.prefixes and width != sae.width:
        raise ExplanationError(f"SAE: width={width}, but its {sae.width} features are not nested")
    return replace(
        sae,
        W_enc=sae.W_enc[:, :width],
        W_dec=sae.W_dec[:width],
        b_enc=sae.b_enc[:width],
        threshold=None if sae.threshold is None else sae.threshold[:width],
        prefixes=tuple(w for w in sae.prefixes if w <= width),
        k=None if sae.k is None else min(sae.k, width),
        about={**sae.about, "width": width},
    )


def sparser(sae: SAE, k: int | None = None, threshold: float | None = None) -> SAE:
    """Keep only the k largest activations of a row, or only those above a threshold.

    Raises :class:`ExplanationError` for both, and where the architecture already does the other.
    """
    if k is None and threshold is None:
        return sae
    about = {**sae.about, "k" if k is not None else "threshold": k if k is not None else threshold}
    if k is not None and threshold is None and sae.architecture in ("standard", *CHOOSES_K[:2]):
        chosen = "topk" if sae.architecture == "standard" else sae.architecture
        return replace(sae, architecture=chosen, k=k, about=about)
    if k is None and threshold is not None and sae.architecture in ("standard", "jumprelu"):
        own = torch.zeros_like(sae.b_enc) if sae.threshold is None else sae.threshold
        return replace(sae, architecture="jumprelu", threshold=own.clamp_min(threshold), about=about)
    raise ExplanationError(
        f"SAE: of a {sae.architecture} SAE either k (standard, topk) or threshold (standard, jumprelu) "
        f"can be changed, got k={k}, threshold={threshold}"
    )
