"""OpenAI sparse_autoencoder: one ``.pt`` dict.

latents = activation(encoder(x − pre_bias) + latent_bias), x̂ = decoder(latents) + pre_bias. TopK models were
trained on rows that are layer-normalised first: without that they give nonsense.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.explanations.sae.weights import SAE
from assay.models.state_dicts import read_by_name

from .reading import Shape, State

KEYS: dict[str, Shape] = {
    "pre_bias": ("d_in",), "latent_bias": ("d_sae",), "encoder.weight": ("d_sae", "d_in")
}  # fmt: skip
DECODER: dict[str, Shape] = {"decoder.weight": ("d_in", "d_sae")}
STATISTICS: dict[str, Shape] = {
    "stats_last_nonzero": ("d_sae",), "latents_activation_frequency": ("d_sae",),
    "latents_mean_square": ("d_sae",),
}  # fmt: skip


def read_openai(path: Path) -> SAE:
    """Read the dict that ``Autoencoder.state_dict`` gives; ``activation`` is ReLU or TopK."""
    state = State(path, read_by_name(path))
    activation = state.found.pop("activation", "ReLU")
    options: Any = state.found.pop("activation_state_dict", None) or {}
    for name in [name for name in state.found if name.startswith("activation.")]:
        state.found.pop(name)  # the same options once more, as the state of a submodule
    state.config = {"activation": activation}
    state.choose("activation", ("ReLU", "TopK"), "ReLU")
    k = None
    if activation == "TopK":
        k = state.count("activation_state_dict.k", options.get("k") if isinstance(options, dict) else None)
        state.config = options if isinstance(options, dict) else {}
        state.choose("postact_fn", ("ReLU",), "ReLU")
    tied = not any(name.startswith("decoder.") for name in state.found)
    if "decoder.linear.weight" in state.found:  # a tied decoder names the encoder a second time
        state.found.pop("decoder.linear.weight")
        tied = True
    weights = state.take(KEYS if tied else {**KEYS, **DECODER}, STATISTICS)
    W_enc = weights["encoder.weight"].T
    return SAE(
        W_enc=W_enc,
        W_dec=W_enc.T if tied else weights["decoder.weight"].T,
        b_enc=weights["latent_bias"],
        b_dec=weights["pre_bias"],
        architecture="topk" if activation == "TopK" else "standard",
        k=k,
        normalise="layer_norm" if activation == "TopK" else "none",
        about={"file": path.name, "written_by": "openai"},
    )
