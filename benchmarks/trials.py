"""Trials on shipped models: the traps in one table, sensitive directions with controls, compute recovered.

Run: python benchmarks/trials.py [--traps-bits]
``--traps-bits`` also computes the bits of every trap (minutes, see benchmarks/traps.py).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import torch
from assay.explanations import Components, planted_components
from assay.explanations.trials import (
    Claim,
    masks,
    optimal_capacities,
    respond,
    scores,
    scrub,
    sufficiency,
    untrained_twin,
    witnesses,
)
from assay.explanations.trials.claims import units_of
from assay.explanations.trials.parts import try_parts
from assay.explanations.truth.traps import (
    SwappedAnswers,
    arbitrary_parts,
    cancelling_pair,
    everything_relevant,
    merged_mechanisms,
)
from assay.mdl.compute import ComputeCurve
from assay.models import zoo

STATED = {
    "isotropic": 0.0080,
    "covariance mix": 0.059,
    "real mix": 0.060,
    "to covariance-random": 0.110,
    "to real other": 0.224,
}
NATS = 0.6931471805599453


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--traps-bits", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    start = time.perf_counter()
    print("traps on tms-40-10: what trials say (the honest parts first)")
    for name, parts in part_traps():
        done = try_parts(parts, zoo.data("tms-40-10", 64, 1).inputs)
        print(f"  {name:30} {'; '.join(done.caught()) or 'nothing against it'}", flush=True)
    mean_loss()
    if given.traps_bits:
        bits()
    directions()
    compute()
    demo()
    print(f"\nall trials: {time.perf_counter() - start:.0f} s")
    print("capacities of κ = 4, v = 1 … .5, d = 3; stated 1, 1, .667, .333, 0, 0:")
    print("  " + ", ".join(f"{c:.3f}" for c in optimal_capacities([1, 0.9, 0.8, 0.7, 0.6, 0.5], 4, 3)))


def part_traps() -> Iterator[tuple[str, Components]]:
    network = zoo.load("tms-40-10")
    honest = planted_components(network)
    yield "true parts", honest
    yield "everything is relevant", everything_relevant(honest)
    yield "arbitrary parts and the rest", arbitrary_parts(honest)
    yield "a cancelling pair", cancelling_pair(honest)
    yield "two mechanisms in one part", merged_mechanisms(network)


def mean_loss() -> None:
    network, data = zoo.load("digits"), zoo.data("digits", 360, 1)
    assert data.labels is not None
    trap = SwappedAnswers(network, data.inputs, data.labels)
    told = trap.predict({n: p[None] for n, p in network.parameters().items()}, data.inputs, torch.ones(1))
    outputs = network(data.inputs)
    done = sufficiency(network, outputs, told, torch.zeros_like(outputs), data.labels)
    print(
        f"  {'perfect mean loss':30} loss recovered {100 * (done.loss_recovered or 0):.1f} %, "
        f"KL {done.mean:.3f} bits a datum: caught {done.fools_the_loss} (stated: 100.0 %, .337 bits)"
    )


def bits() -> None:
    from traps import cases, reason, rejected

    print("\ntraps: where they are longer than the honest explanation, and what grew")
    for trap, honest, score, rival in cases():
        print(f"  {trap:30} {honest:26} {rejected(score, rival)}; {reason(score, rival)}", flush=True)


def directions() -> None:
    network, data = zoo.load("digits"), zoo.data("digits", 360, 0)
    later = "layers.2"
    found = respond(network, data.inputs, "layers.1", later=[later])
    twin = {r.name: r.mean(0.3) for r in respond(untrained_twin(network), data.inputs, "layers.1")}
    last = {r.name: r.mean(0.3) for r in respond(network, data.inputs, later)}
    print(
        "\ndigits, hidden layer, moved by .3 R: KL in nats (stated), over the covariance mix, growth in L2,"
    )
    print("untrained (stated: .0084 to .0089 for all), last site")
    for one, score in zip(found, scores(found, 0.3), strict=True):
        growth = float(one.amplification[later][1].mean())
        print(
            f"  {one.name:22} {one.mean(0.3) * NATS:.4f} ({STATED[one.name]:.4f})   "
            f"{score.ratio:.2f} [{score.low:.2f}, {score.high:.2f}]   {growth:.2f}   "
            f"{twin[one.name] * NATS:.5f}   {last[one.name] * NATS:.4f}"
        )


def compute() -> None:
    network, data = zoo.load("digits"), zoo.data("digits", 360, 0)
    curve = ComputeCurve.load("benchmarks/results/digits-compute.csv")
    print("\ntraining compute recovered, hidden units kept by attribution (the others resampled)")
    for share in (1.0, 0.75, 0.5, 0.25):
        claim = Claim({"layers.1": units_of(network, data.inputs, "layers.1", f"top:{share}")})
        done = scrub(network, data.inputs, claim, data.labels, curve=curve)
        assert done.loss_recovered is not None
        assert done.compute_recovered is not None
        print(
            f"  {100 * share:3.0f} % of units: loss {100 * done.loss_recovered:6.1f} %, "
            f"compute {100 * done.compute_recovered:6.1f} %, KL {done.mean:.3f} bits"
        )


def demo() -> None:
    """All intervention trials of a shipped classifier."""
    network, data = zoo.load("digits"), zoo.data("digits", 360, 0)
    half = units_of(network, data.inputs, "layers.1", "top:0.5")
    for fill, joint in (("resample", True), ("resample", False), ("mean", False), ("zero", False)):
        claim = Claim({"layers.1": half}, fill, joint)  # type: ignore[arg-type]
        done = scrub(network, data.inputs, claim, data.labels)
        spread = masks(network, data.inputs, claim)
        seen = witnesses(network, data.inputs, claim)
        print(
            f"  half, {claim.rule:22} KL {done.mean:.3f}, random masks {spread.random_worst:.3f}, "
            f"adversary {spread.adversary:.3f}, witnesses {sum(w.needed for w in seen)} of {len(seen)}"
        )


if __name__ == "__main__":
    main()
