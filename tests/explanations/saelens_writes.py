"""Run by an interpreter that has SAELens: writes folders of random SAEs, and what SAELens makes of rows.

Usage: python saelens_writes.py FOLDER. Each case gets a folder with SAELens' own files and ``said.npz`` (x,
encoded, reconstructed).
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("ignore")
from sae_lens.registry import (  # noqa: E402
    SAE_CLASS_REGISTRY,
    SAE_TRAINING_CLASS_REGISTRY,
    get_sae_class,
    get_sae_training_class,
)
from sae_lens.saes.sae import SAEMetadata  # noqa: E402

D_IN, D_SAE = 12, 30
SITE = {"hook_name": "blocks.0.hook_resid_post"}
CASES = {
    "standard": {},
    "standard_no_b_dec": {"apply_b_dec_to_input": False},
    "standard_constant_norm": {"normalize_activations": "constant_norm_rescale"},
    "topk": {"k": 4},
    "topk_rescaled": {"k": 4, "rescale_acts_by_decoder_norm": True},
    "topk_layer_norm": {"k": 4, "normalize_activations": "layer_norm"},
    "abstopk": {"k": 4},
    "jumprelu": {},
    "jumprelu_layer_norm": {"normalize_activations": "layer_norm"},
    "gated": {},
    "matching_pursuit": {"max_iterations": 5},
    "matching_pursuit_no_b_dec": {"apply_b_dec_to_input": False},
    "transcoder": {"d_out": 7, "apply_b_dec_to_input": False},
    "skip_transcoder": {"d_out": 7, "apply_b_dec_to_input": False},
    "jumprelu_transcoder": {"d_out": 7, "apply_b_dec_to_input": False},
    "jumprelu_skip_transcoder": {"d_out": 7, "apply_b_dec_to_input": False},
}
TRAINED = {
    "batchtopk": {"k": 4.0},
    "batchtopk_rescaled": {"k": 4.0, "rescale_acts_by_decoder_norm": True},
    "matryoshka_batchtopk": {"k": 4.0, "matryoshka_widths": [10, 20, 30]},
    "topk": {"k": 4},
    "jumprelu": {},
    "gated": {},
    "standard": {},
}


def architecture(case):
    known = (*SAE_CLASS_REGISTRY, *SAE_TRAINING_CLASS_REGISTRY)
    return max((name for name in known if case.startswith(name)), key=len)


def filled(sae, generator):
    with torch.no_grad():
        for name, p in sae.named_parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.4)
            if name == "threshold":
                p.abs_()
    return sae


def write(folder, case, sae, x):
    with torch.no_grad():
        encoded, back = sae.encode(x), sae(x)
    np.savez(folder / "said.npz", x=x.numpy(), encoded=encoded.numpy(), back=back.numpy())


def main(out):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, D_IN, generator=generator) * 1.5 + 0.3
    for case, options in CASES.items():
        kind, config = get_sae_class(architecture(case))
        sae = filled(kind(config(d_in=D_IN, d_sae=D_SAE, metadata=SAEMetadata(**SITE), **options)), generator)
        sae.save_model(out / case)
        write(out / case, case, sae, x)
    for case, options in TRAINED.items():
        kind, config = get_sae_training_class(architecture(case))
        sae = filled(kind(config(d_in=D_IN, d_sae=D_SAE, metadata=SAEMetadata(**SITE), **options)), generator)
        if hasattr(sae, "topk_threshold"):
            sae.topk_threshold.fill_(0.7)
        folder = out / f"trained_{case}"
        sae.save_inference_model(folder)
        from sae_lens import SAE

        write(folder, case, SAE.load_from_disk(folder), x)
        if hasattr(sae, "topk_threshold"):  # the checkpoint of a run is another layout of the same SAE
            sae.save_model(out / f"checkpoint_{case}")
            write(out / f"checkpoint_{case}", case, SAE.load_from_disk(folder), x)


main(Path(sys.argv[1]))
