"""What a whole score costs beside the encoder's matrix product, on the same SAE, tokens and cores.

    python benchmarks/score_cost.py [TOKENS [THREADS]]

d_in 768, d_sae 24,576; random unit decoder rows, the encoder is twice their transpose, tokens are made of 16
of the first 2,048 rows and a little noise, so that a bias finds them again. Writes
benchmarks/results/score_cost.txt.

With ASSAY_PEERS_PYTHON, a Python that has sae-lens 6.54 and sae-bench 0.6, the same SAE and tokens go through
SAELens' own sparsity-and-variance evaluation and through SAEBench's mdl as well.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from assay.explanations import save_saelens
from assay.explanations.sae import SAE, SAESite
from assay.mdl import GridTarget, Score, SiteProblem, score_site
from torch import Tensor

D_IN, D_SAE, ACTIVE = 768, 24_576, 16
ALIVE = 2048  # of these are ever used: a dictionary whose other rows need not be told
CHUNK = 2048
DELTA = 0.1
SAEBENCH_TOKENS = 32


def planted(tokens: int) -> tuple[SAE, Tensor]:
    """An SAE of random unit rows, and tokens [tokens, 768] of 32 rows each."""
    g = torch.Generator().manual_seed(0)
    rows = torch.nn.functional.normalize(torch.randn(D_SAE, D_IN, generator=g), dim=1)
    part = torch.randint(ALIVE, (tokens, ACTIVE), generator=g)
    weight = 1.4 + 0.2 * torch.rand(tokens, ACTIVE, generator=g)
    x = torch.nn.functional.embedding_bag(part, rows, mode="sum", per_sample_weights=weight)
    x = x + 0.02 * torch.randn(tokens, D_IN, generator=g)
    bias = torch.where(torch.arange(D_SAE) < ALIVE, -1.5, -10.0)
    sae = SAE(2 * rows.T.contiguous(), rows, bias, torch.zeros(D_IN))
    return sae, x


def product_seconds(sae: SAE, x: Tensor) -> float:
    """The bare product, chunk by chunk into the same memory; CPU seconds of all threads."""
    out = torch.empty(CHUNK, D_SAE)
    start = time.process_time()
    for first in range(0, len(x), CHUNK):
        chunk = x[first : first + CHUNK]
        torch.matmul(chunk, sae.W_enc, out=out[: len(chunk)])
    return time.process_time() - start


def encode_seconds(sae: SAE, x: Tensor) -> float:
    """The encoder as it is run: product, bias, ReLU, and the non-zeros; CPU seconds."""
    start = time.process_time()
    for first in range(0, len(x), CHUNK):
        sae.code(x[first : first + CHUNK])
    return time.process_time() - start


def score_seconds(sae: SAE, x: Tensor) -> tuple[float, Score]:
    """A whole score, steps and all: CPU seconds, and what it found."""
    start = time.process_time()
    score = score_site(SAESite(sae), SiteProblem(x, GridTarget(DELTA), DELTA))
    return time.process_time() - start, score


def peers(python: str, sae: SAE, x: Tensor) -> dict[str, dict[str, float]]:
    """What SAELens and SAEBench take of the same SAE and tokens, in their own environment."""
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        save_saelens(replace(sae, site="site"), folder)
        np.save(f"{folder}/x.npy", x.numpy())
        asked = {"saelens": [], "saebench": [str(SAEBENCH_TOKENS)]}
        return {
            name: measured([python, str(here / f"{name}_side.py"), folder, f"{folder}/x.npy", *more])
            for name, more in asked.items()
        }


def measured(command: list[str]) -> dict[str, float]:
    """The JSON object that a command prints last."""
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def peer_lines(found: dict[str, dict[str, float]], whole: float, tokens: int) -> str:
    """Seconds, and how many times ours."""
    lens, bench = found["saelens"]["seconds"], found["saebench"]["seconds"]
    each = bench / SAEBENCH_TOKENS
    return (
        f"SAELens evaluation   {lens:8.2f} s   {lens / whole:.2f} times the whole score\n"
        f"SAEBench mdl         {bench:8.2f} s   of {SAEBENCH_TOKENS} tokens, one of its 18 settings: "
        f"{each / (whole / tokens):,.0f} times the whole score, per token\n"
    )


def main() -> None:
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 65_536
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 2)
    sae, x = planted(tokens)
    product_seconds(sae, x[:CHUNK])
    score_seconds(sae, x[:CHUNK])  # imports and first allocations, of both, are not what is compared
    before = product_seconds(sae, x)
    encoding = encode_seconds(sae, x)
    whole, score = score_seconds(sae, x)
    bare = (before + product_seconds(sae, x)) / 2
    python = os.environ.get("ASSAY_PEERS_PYTHON")
    text = (
        f"{tokens} tokens, d_in {D_IN}, d_sae {D_SAE}, L0 {score.faithfulness['l0']:.1f}; "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {platform.machine()}\n"
        "CPU seconds of all threads, so that other work on the machine counts little\n"
        f"bare encoder product {bare:8.2f} s\n"
        f"encoder to non-zeros {encoding:8.2f} s\n"
        f"whole score          {whole:8.2f} s   {score.bits_per_sample:.1f} bits a token\n"
        f"ratio                {whole / bare:8.2f}\n"
    ) + (peer_lines(peers(python, sae, x), whole, tokens) if python else "")
    print(text)
    results = Path(__file__).parent / "results" / "score_cost.txt"
    results.parent.mkdir(exist_ok=True)
    results.write_text(text)


if __name__ == "__main__":
    main()
