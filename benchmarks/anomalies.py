"""Repeated data in the toy model of superposition: every detector against three kinds of negatives.

Run: python benchmarks/anomalies.py [--seeds 10] [--first 200] [--weights] [--curves 3]
Everything is chosen by trusted data or by the network's weights; x* is seen by the score alone. The
method was settled on seeds 0 to 11 and 100 to 109; seeds from 200 on were not looked at before.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence

import torch
from assay.explanations import NeuronBasis, WholeNetwork
from assay.explanations.anomalies import (
    Detector,
    Growth,
    Limited,
    LocalOutliers,
    Memorised,
    NegativeLoss,
    Observations,
    OutputBits,
    PartsGrowth,
    RepeatedData,
    ShortestCode,
    SiteBits,
    WorstCase,
    WorstGaussian,
    auroc,
    leverage,
    mahalanobis,
    mean_interval,
    tolerated_delta,
    train_repeated,
    usual_delta,
    usual_output_delta,
)
from assay.explanations.anomalies.repeated import (
    explanation,
    features,
    noisy,
    ordinary,
    represented,
    unusual,
)
from assay.explanations.pca import pca
from assay.explanations.recipes.topk_sae import TopKRecipe, train_topk

TRUSTED, NEGATIVES, PAIR = 4000, 300, 2
KINDS = ("fresh draws", "with noise", "unusual combinations")
THEIRS = {
    "Mahalanobis": "1.000 / .991 / .417",
    "neuron basis": "1.000 / .972 / .309",
    "SAE chosen by MDL": "1.000 / .988 / .495",
    "feature code": "1.000 / 1.000 / .949",
    "minimal explanation": "1.000 / 1.000 / 1.000",
    "whole network": ".500 / .500 / .500",
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=200)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--weights", action="store_true", help="also the loss of x* against eps")
    parser.add_argument("--curves", type=int, default=0, help="also AUROC against the step, so many seeds")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(given.first, given.first + given.seeds)
    if given.weights:
        thresholds(seeds, given.steps)
    for m in (2, 8):
        table(m, 0.02, seeds, given.steps)
    table(2, 0.0, seeds, given.steps)
    if given.curves:
        for m in (2, 8):
            curves(m, seeds[: given.curves], given.steps)
    print(f"\n{time.process_time():.0f} CPU seconds")


def thresholds(seeds: Sequence[int], steps: int) -> None:
    print("loss of x* at weight eps; stated: .90 / .67 / .28 / .06")
    for eps in (0.0, 0.001, 0.002, 0.005):
        losses = [train_repeated(_task(2, eps, steps), seed).loss for seed in seeds]
        mean, low, high = mean_interval(losses)
        print(f"  {eps:.3f}: {mean:.2f} [{low:.2f}, {high:.2f}]", flush=True)


def _task(m: int, eps: float, steps: int) -> RepeatedData:
    return RepeatedData(m=m, eps=eps, steps=steps, batch=256, lr=1e-2)


def seen(toy: Memorised, x: torch.Tensor) -> Observations:
    outputs, captured = toy.network.run(x, capture=["hook_hidden"])
    return Observations(captured["hook_hidden"], 1, outputs, x, x)


def feature_code(toy: Memorised, trusted: Observations, delta: float) -> ShortestCode:
    """Rows are W's columns of the represented features."""
    W = toy.network.parameters()["W"]
    return ShortestCode.fit(W[:, represented(W)].T, trusted, delta, "feature code")


def sae_by_mdl(trusted: Observations, delta: float, m: int) -> ShortestCode:
    """TopK SAEs of several sizes on trusted activations, coded by pursuit; the shortest message wins."""
    sizes = [2 * m, 4 * m]
    fitted = []
    for size in sizes:
        sae = train_topk(trusted.rows(), TopKRecipe(size, min(2, m), steps=600, batch=512, lr=3e-3))
        fitted.append(ShortestCode.fit(sae.W_dec, trusted, delta, "SAE chosen by MDL"))
    return min(fitted, key=lambda one: one.trusted_bits)


def outputs(toy: Memorised, trusted: Observations) -> list[Detector]:
    """Output bits: the minimal explanation, the same grown for each input, and the complete one."""
    made = explanation(toy)
    told = OutputBits.fit(made, trusted, tolerated_delta(made, trusted))
    kept = torch.zeros(toy.task.n, dtype=torch.bool)
    kept[represented(toy.network.parameters()["W"])] = True
    base = OutputBits.fit(Limited(features(toy), kept, "base"), trusted, told.delta)
    whole = OutputBits.fit(WholeNetwork(toy.network), trusted, usual_output_delta(trusted), precision=32)
    object.__setattr__(told, "name", "minimal explanation")
    return [told, PartsGrowth(base), whole]


def detectors(toy: Memorised, trusted: Observations) -> list[Detector]:
    m, delta = toy.task.m, usual_delta(trusted)
    fitted = [SiteBits.fit(one, trusted, delta) for one in (NeuronBasis(m), pca(trusted.rows()))]
    codes = [feature_code(toy, trusted, delta), sae_by_mdl(trusted, delta, m)]
    usual = [mahalanobis(trusted), leverage(trusted), LocalOutliers(trusted), NegativeLoss()]
    every = (*fitted, *codes)
    tolerances = (0.0, 0.001, 0.01, 0.1) if m == 2 else (0.001,)
    worst = [WorstCase(every, t, f"worst case, tolerance {t}") for t in tolerances]
    worst_normal = WorstGaussian(trusted, delta, 0.01)
    return [*usual, *fitted, *codes, *worst, worst_normal, Growth(fitted[0]), *outputs(toy, trusted)]


def table(m: int, eps: float, seeds: Sequence[int], steps: int) -> None:
    found: dict[str, list[list[float]]] = defaultdict(list)
    for seed in seeds:
        toy, g = train_repeated(_task(m, eps, steps), seed), torch.Generator().manual_seed(1000 + seed)
        trusted = seen(toy, ordinary(toy.task, TRUSTED, g))
        star = seen(toy, toy.star[None] if eps else ordinary(toy.task, NEGATIVES, g))
        others = [ordinary(toy.task, NEGATIVES, g)]
        if eps:
            others += [noisy(others[0], 0.5, g), unusual(toy, NEGATIVES, PAIR, g)]
        for detector in detectors(toy, trusted):
            score = detector.score(star)
            found[detector.name].append([auroc(detector.score(seen(toy, x)), score) for x in others])
    print(f"\nm = {m}, eps = {eps}, {len(seeds)} seeds: AUROC of x* against {', '.join(KINDS)}")
    for name, rows in found.items():
        cells = []
        for kind in range(len(rows[0])):
            mean, low, high = mean_interval([row[kind] for row in rows])
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        stated = f"   stated {THEIRS[name]}" if m == 2 and eps and name in THEIRS else ""
        print(f"  {name:30} " + "  ".join(cells) + stated, flush=True)


def curves(m: int, seeds: Sequence[int], steps: int) -> None:
    """How the figures against unusual combinations of 2, 3 and 4 features hang on the grid's step."""
    print(f"\nm = {m}, {len(seeds)} seeds: x* against unusual combinations of 2, 3, 4 features, by the step")
    found: dict[str, list[list[float]]] = defaultdict(list)
    for seed in seeds:
        toy, g = train_repeated(_task(m, 0.02, steps), seed), torch.Generator().manual_seed(seed)
        trusted, star = seen(toy, ordinary(toy.task, TRUSTED, g)), seen(toy, toy.star[None])
        others = [seen(toy, unusual(toy, NEGATIVES, count, g)) for count in (2, 3, 4)]
        made, site = explanation(toy), usual_delta(trusted)
        judged: dict[str, Detector] = {"Mahalanobis": mahalanobis(trusted)}
        for share in (0.2, 0.1, 0.05, 0.02):
            step = tolerated_delta(made, trusted, share)
            judged[f"output bits, share {share}"] = OutputBits.fit(made, trusted, step)
        for step in (0.01, 0.02, 0.03, 0.05, 0.1, 0.2):
            judged[f"output bits, step {step}"] = OutputBits.fit(made, trusted, step)
        for factor in (0.25, 0.5, 1, 2, 4):
            judged[f"feature code, step × {factor}"] = feature_code(toy, trusted, site * factor)
        for name, detector in judged.items():
            score = detector.score(star)
            found[name].append([auroc(detector.score(x), score) for x in others])
    for name, rows in found.items():
        cells = (mean_interval([row[i] for row in rows]) for i in range(3))
        told = "  ".join(f"{mean:.3f} [{low:.3f}, {high:.3f}]" for mean, low, high in cells)
        print(f"  {name:26} {told}", flush=True)


if __name__ == "__main__":
    main()
