"""Figures that were stated for small re-runs, measured again: ours beside the stated ones, in a minute.

Run: python benchmarks/starred.py
Those of anomalies are printed by benchmarks/anomalies.py, those of compute by benchmarks/trials.py.
"""

from __future__ import annotations

import torch
from assay.explanations.matching import chance_mmcs
from assay.explanations.trials import (
    BASELINES,
    capacities,
    respond,
    shrunk,
    sufficiency,
    train_quadratic,
    untrained_twin,
)
from assay.explanations.truth.traps import SwappedAnswers
from assay.mdl.exceptions import exception_bits, table_bits
from assay.models import Network, perceptron, zoo
from assay.models.zoo import AdamW, minimise
from torch.nn import functional as F

NATS = 0.6931471805599453
STATED = {
    "isotropic": ".0080",
    "covariance mix": ".059",
    "real mix": ".060",
    "to covariance-random": ".110",
    "to real other": ".224",
}


def main() -> None:
    torch.set_num_threads(1)
    say(
        "rule with 7 of 10,000 wrong, K = 100: its exceptions, bits",
        "180 with the rule",
        exception_bits(10_000, 7, 100),
    )
    say("lookup table of 10,000, K = 100, bits", "66,452", table_bits(10_000, 100))
    for (d, K), stated in zip(((8, 16), (8, 512), (256, 16_384)), (".60", ".86", ".24"), strict=True):
        say(f"chance of MMCS at d = {d}, K = {K}", stated, chance_mmcs(d, K))
    say("one-feature SAE on the number 2", "1.5", shrunk(2.0))
    trained = capacities(train_quadratic([1, 0.9, 0.8, 0.7, 0.6, 0.5], 4, 3))
    say(
        "capacities of trained quadratic models",
        "1 1 .667 .333 0 0",
        " ".join(f"{c:.4f}" for c in trained.tolist()),
    )
    mean_loss()
    directions()


def say(what: str, stated: str, ours: float | str) -> None:
    print(f"{what:66} stated {stated:18} ours {ours if isinstance(ours, str) else f'{ours:.4f}'}", flush=True)


def mean_loss() -> None:
    network, data = zoo.load("digits"), zoo.data("digits", 360, 1)
    assert data.labels is not None
    trap = SwappedAnswers(network, data.inputs, data.labels)
    told = trap.predict({n: p[None] for n, p in network.parameters().items()}, data.inputs, torch.ones(1))
    outputs = network(data.inputs)
    done = sufficiency(network, outputs, told, torch.zeros_like(outputs), data.labels)
    say(
        "false explanation: share of the mean loss recovered",
        "100.0 %",
        f"{100 * (done.loss_recovered or 0):.1f} %",
    )
    say("the same: KL, bits a datum", ".337", done.mean)


def deep_digits() -> Network:
    """An MLP with two hidden layers after the site: plateaus need layers that come later."""
    data = zoo.data("digits", 360, 0)
    torch.manual_seed(0)
    module, generator = perceptron((64, 128, 128, 128, 10)), torch.Generator().manual_seed(0)

    def loss() -> torch.Tensor:
        chosen = torch.randint(len(data.inputs), (128,), generator=generator)
        assert data.labels is not None
        return F.cross_entropy(module(data.inputs[chosen]), data.labels[chosen])

    minimise(module, loss, AdamW(600, 3e-3, "cosine", weight_decay=0.01), None)
    return Network("deep digits", module, "categorical", "real", (64,))


def directions() -> None:
    network, x = deep_digits(), zoo.data("digits", 360, 0).inputs
    later = ["layers.3", "layers.5"]
    real = {r.name: r for r in respond(network, x, "layers.1", later=later)}
    drawn = {r.name: r for r in respond(network, x, "layers.1", later=later, base="covariance-random")}
    twin = {r.name: r.mean(0.3) * NATS for r in respond(untrained_twin(network), x, "layers.1")}
    for name in BASELINES:
        kl = [r[name].mean(0.3) * NATS for r in (real, drawn)]
        ours = f"{kl[0]:.4f}; from covariance-random bases {kl[1]:.4f}"
        say(f"KL at .3 R, digits MLP of three hidden layers, {name}", STATED[name], ours)
    say("the same, untrained", ".0084 to .0089", f"{min(twin.values()):.4f} to {max(twin.values()):.4f}")
    for site in later:
        grown = [float(r["isotropic"].amplification[site][1].mean()) for r in (real, drawn)]
        say(
            f"growth in L2 at {site}: real bases, covariance-random",
            "1.3, 1.7",
            f"{grown[0]:.2f}, {grown[1]:.2f}",
        )


if __name__ == "__main__":
    main()
