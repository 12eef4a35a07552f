"""SAELens' own sparsity-and-variance evaluation of an SAE on cached activations, timed.

Runs in an environment of its own: pip install 'sae-lens==6.54.0' 'transformer-lens==3.9.0'. The model is
a stub that hands out the cached activations, so only the evaluation is timed, in CPU seconds. Prints JSON.

Usage: python benchmarks/saelens_side.py SAELENS_FOLDER ACTIVATIONS.npy [BATCH_ROWS]
"""

import json
import sys
import time

import numpy as np
import torch
from sae_lens import SAE
from sae_lens.evals import get_sparsity_and_variance_metrics
from sae_lens.training.activation_scaler import ActivationScaler

CONTEXT = 128


class Cached:
    """Stands for both the model and the store: batch i of tokens gives batch i of activations."""

    def __init__(self, x: torch.Tensor, hook: str) -> None:
        self.x, self.hook, self.next = x, hook, 0

    def get_batch_tokens(self, prompts: int) -> torch.Tensor:
        return torch.zeros(prompts, CONTEXT, dtype=torch.long)

    def run_with_cache(self, tokens: torch.Tensor, **_: object) -> tuple[None, dict[str, torch.Tensor]]:
        rows = tokens.numel()
        batch = self.x[self.next : self.next + rows].reshape(*tokens.shape, -1)
        self.next += rows
        return None, {self.hook: batch}


def main(folder: str, activations: str, batch_rows: int = 2048) -> None:
    torch.set_num_threads(torch.get_num_threads())
    sae = SAE.load_from_disk(folder, device="cpu")
    x = torch.from_numpy(np.load(activations))
    cached = Cached(x, sae.cfg.metadata.hook_name)
    start = time.process_time()
    metrics, _ = get_sparsity_and_variance_metrics(
        sae,
        cached,
        cached,
        ActivationScaler(),
        len(x) // batch_rows,
        compute_l2_norms=True,
        compute_sparsity_metrics=True,
        compute_variance_metrics=True,
        compute_featurewise_density_statistics=True,
        eval_batch_size_prompts=batch_rows // CONTEXT,
        model_kwargs={},
    )
    seconds = time.process_time() - start
    print(
        json.dumps(
            {"seconds": seconds, "l0": metrics["l0"], "explained_variance": metrics["explained_variance"]}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
