"""Backdoored digits and a backdoored byte language model: bits beside Mahalanobis, LOF and −loss.

Run: python benchmarks/backdoors.py [--seeds 5]
AUROC with 95 % intervals over seeds; false positives at alpha = .05 (conformal: at most .05 expected).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable

import torch
from assay.explanations.anomalies import Detector, explained, judge, mean_interval, usual_detectors
from assay.explanations.anomalies.backdoors import Task, backdoored_byte_lm, backdoored_digits

SITE = {"digits": ("neurons", "pca,k=8"), "byte-lm": ("pca,k=8", "pca,k=24")}
MECHANISM = {"digits": ("answers",), "byte-lm": ("answers",)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table("digits", backdoored_digits, given.seeds)
    table("byte-lm", backdoored_byte_lm, given.seeds)


def table(name: str, make: Callable[[int], Task], seeds: int) -> None:
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in range(seeds):
        task = make(seed)
        trusted, test = task.observed()
        fit, calibration = trusted.split(2 / 3, seed)
        detectors: list[Detector] = [
            *explained(SITE[name], task.network, fit, site=task.site, seed=seed),
            *explained(MECHANISM[name], task.network, fit, setting="mechanism", seed=seed),
            *usual_detectors(fit),
        ]
        done = judge(detectors, calibration, test, task.anomalous, 0.05, task.network)
        print(
            f"{name} seed {seed}: backdoor works {task.works:.2f}, clean {task.clean:.2f}, "
            f"complete explanation {done.complete:.3f}",
            flush=True,
        )
        for v in done.verdicts:
            assert v.detected is not None
            assert v.false_positives is not None
            found[v.name.split(" (")[0]].append((v.detected.auroc, v.false_positives))
    print(f"\n{name}, {seeds} seeds: AUROC [95 % interval]; false positives at .05")
    for detector, rows in found.items():
        mean, low, high = mean_interval([row[0] for row in rows])
        rate, least, most = mean_interval([row[1] for row in rows])
        print(f"  {detector:30} {mean:.3f} [{low:.3f}, {high:.3f}]   {rate:.3f} [{least:.3f}, {most:.3f}]")


if __name__ == "__main__":
    main()
