"""SAEBench's ``mdl`` of an SAE on cached activations, timed on as few tokens as it needs.

Runs in an environment of its own, with sae-bench 0.6.0 beside sae-lens (it pins numpy below 2, so
``pip install --no-deps sae-bench`` and what its import asks for). One of its 18 settings: 16 bins. Its
functions are called as they are: a stub hands out the cached activations, and ``Tensor.cuda``, which they
call unasked, does nothing where there is no GPU. Prints one JSON object.

Usage: python benchmarks/saebench_side.py SAELENS_FOLDER ACTIVATIONS.npy TOKENS
"""

import json
import sys
import time

import numpy as np
import torch
from sae_bench.evals.mdl import main as mdl
from sae_bench.evals.mdl.eval_config import MDLEvalConfig
from sae_lens import SAE

BINS = 16


class Cached:
    """Stands for the activations store."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x = x

    def get_filtered_llm_batch(self) -> torch.Tensor:
        return self.x


def main(folder: str, activations: str, tokens: int) -> None:
    torch.set_grad_enabled(False)
    if not torch.cuda.is_available():
        torch.Tensor.cuda = lambda self: self
    sae = SAE.load_from_disk(folder, device="cpu")
    x = torch.from_numpy(np.load(activations, mmap_mode="r")[:tokens].copy())
    mdl.config = MDLEvalConfig(sae_batch_size=1)
    features = sae.cfg.d_sae
    start = time.process_time()
    bins = mdl.build_bins(torch.zeros(features), sae.encode(x).amax(0) + 1e-6, num_bins=BINS)
    mdl.check_quantised_features_reach_mse_threshold(bins, Cached(x), sae, 0.01, sae)
    bits = mdl.calculate_dl(features, bins, "cpu", Cached(x), sae, None)
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "tokens": tokens, "bits": bits}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
