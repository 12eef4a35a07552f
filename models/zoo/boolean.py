"""``boolean``: an MLP that learned a Boolean circuit of ten bits, two of which do not matter."""

from __future__ import annotations

import dataclasses
import math

import torch
from assay.models.dataset import Dataset, Scope
from assay.models.network import Network
from assay.models.perceptron import perceptron
from torch import Tensor
from torch.nn import functional as F

from .entry import Entry
from .training import AdamW, Progress, minimise

FORMULA = "((x0 xor x1) and (x2 or not x3)) or (x4 and x5 and not (x6 xor x7))"
"""The truth, of depth 4; x8 and x9 are irrelevant."""

BITS = 10
WIDTHS = (BITS, 32, 16, 2)
RECIPE = AdamW(steps=2000, lr=5e-3, schedule="cosine", weight_decay=0.01)


def circuit(x: Tensor) -> Tensor:
    """`FORMULA` on bits [n, 10]: bool [n]."""
    b = x.bool().unbind(-1)
    return ((b[0] ^ b[1]) & (b[2] | ~b[3])) | (b[4] & b[5] & ~(b[6] ^ b[7]))


def all_inputs() -> Tensor:
    """Every one of the 1,024 inputs [1024, 10], as 0 and 1, counting up with x0 as the highest bit."""
    return (torch.arange(2**BITS)[:, None] >> torch.arange(BITS - 1, -1, -1)) & 1


def train(seed: int, progress: Progress | None) -> Network:
    """Train on the cross-entropy over all inputs at every step."""
    inputs, truth = all_inputs().float(), circuit(all_inputs()).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = perceptron(WIDTHS)

    minimise(module, lambda: F.cross_entropy(module(inputs), truth), RECIPE, progress)
    return Network("boolean", module, "categorical", "bit", (BITS,))


def data(n: int, seed: int) -> Dataset:
    """Uniform bits [n, 10], labelled by the circuit."""
    bits = torch.randint(2, (n, BITS), generator=torch.Generator().manual_seed(seed))
    scope = Scope(condition=f"x in {{0, 1}}^{BITS}", distribution="uniform and independent")
    return Dataset("boolean", bits, circuit(bits).long(), "sample", scope)


def measure(network: Network, dataset: Dataset) -> dict[str, float]:
    """Accuracy on the data and on all inputs, cross-entropy in bits, smallest margin over all inputs."""
    assert dataset.labels is not None
    logits = network(dataset.inputs).cpu()
    everywhere, truth = network(all_inputs()).cpu(), circuit(all_inputs())
    margin = (everywhere[:, 1] - everywhere[:, 0]) * (2 * truth.float() - 1)
    return {
        "accuracy": float((logits.argmax(-1) == dataset.labels).double().mean()),
        "accuracy_on_all_inputs": float((everywhere.argmax(-1) == truth).double().mean()),
        "cross_entropy_bits": float(F.cross_entropy(logits, dataset.labels) / math.log(2)),
        "smallest_margin": float(margin.min()),
    }


ENTRIES = (
    Entry(
        name="boolean",
        about="MLP that computes a Boolean circuit of depth 4 on 10 bits, 2 of them irrelevant",
        train=train,
        data=data,
        measure=measure,
        recipe={
            **dataclasses.asdict(RECIPE),
            "formula": FORMULA,
            "widths": WIDTHS,
            "batch": "all 1,024 inputs",
            "loss": "cross-entropy",
        },
        card_data=4096,
    ),
)
