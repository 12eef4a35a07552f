"""Loss against training compute of the zoo's ``digits``: runs of its recipe at several lengths.

    python benchmarks/compute_curve.py > benchmarks/results/digits-compute.csv

Each length has its own learning-rate schedule, so that each point is what that much compute buys. Compute is
6 FLOP for each weight and image (forward and backward); loss is the cross-entropy of the held-out images in
nats. The file is what ``assay score --compute-curve`` reads. About half a minute on one CPU core.
"""

from __future__ import annotations

import dataclasses
import sys

import torch
from assay.models import Network, perceptron
from assay.models.zoo import digits
from assay.models.zoo.training import minimise
from torch import Tensor
from torch.nn import functional as F

STEPS = (0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1500, 2000)
SEED = 0


def trained(steps: int) -> Network:
    """The recipe of the zoo with another number of steps."""
    images, labels = (part[digits.HELD_OUT :] for part in digits._images())
    generator = torch.Generator().manual_seed(SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        module = perceptron(digits.WIDTHS)

    def loss() -> Tensor:
        chosen = torch.randint(len(images), (digits.BATCH,), generator=generator)
        return F.cross_entropy(module(images[chosen]), labels[chosen])

    minimise(module, loss, dataclasses.replace(digits.RECIPE, steps=steps), None)
    return Network("digits", module, "categorical", "real", (digits.WIDTHS[0],))


def main() -> None:
    dataset = digits.data(digits.HELD_OUT, 0)
    assert dataset.labels is not None
    sys.stdout.write("compute,loss\n")
    for steps in STEPS:
        network = trained(steps)
        weights = sum(value.numel() for value in network.parameters().values())
        loss = F.cross_entropy(network(dataset.inputs).double(), dataset.labels)
        sys.stdout.write(f"{6 * weights * digits.BATCH * steps},{float(loss)}\n")


if __name__ == "__main__":
    main()
