"""Trials on shipped models: sensitive directions with controls, compute recovered, scrubbing, the whole zoo.

Run: python benchmarks/trials.py
Traps have a table of their own: benchmarks/traps.py.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import torch
from assay.explanations.trials import (
    Claim,
    masks,
    optimal_capacities,
    respond,
    scores,
    scrub,
    untrained_twin,
    witnesses,
)
from assay.explanations.trials.claims import units_of
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
    torch.set_num_threads(1)
    directions()
    compute()
    demo()
    print("\ncapacities of κ = 4, v = 1 … .5, d = 3; stated 1, 1, .667, .333, 0, 0:")
    print("  " + ", ".join(f"{c:.3f}" for c in optimal_capacities([1, 0.9, 0.8, 0.7, 0.6, 0.5], 4, 3)))
    for models in (["zoo:digits"], []):
        everything(models)


def everything(models: list[str]) -> None:
    """``assay trial all`` as a user runs it; seconds include loading torch in each process."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "from assay.cli.main import main; main()",
        "trial",
        "all",
    ]
    done = subprocess.run([*command, *models], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\nassay trial all {' '.join(models)}\n{done.stdout.rstrip()}")
    print(f"from start to end: {time.perf_counter() - start:.0f} s, {cpu:.0f} s of the CPU")


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
