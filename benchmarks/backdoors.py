"""Backdoored digits and a backdoored byte language model: bits beside Mahalanobis, LOF and −loss.

Run: python benchmarks/backdoors.py [--seeds 5]
AUROC with 95 % intervals over seeds; false positives at alpha = .05, with where their mean lies by chance if
all ordinary data are exchangeable. Quiet tasks have triggers that are made of what ordinary data hold.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from assay.explanations.anomalies import (
    Detector,
    explained,
    false_alarms,
    judge,
    mean_interval,
    usual_detectors,
)
from assay.explanations.anomalies.backdoors import QUIET, Task, backdoored_byte_lm, backdoored_digits

SITE = {"digits": ("neurons", "pca,k=8"), "byte-lm": ("pca,k=8", "pca,k=24")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=10)
    parser.add_argument("--tasks", default="digits,byte-lm", help="which families")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(given.first, given.first + given.seeds)
    made: dict[str, tuple[str, Callable[[int], Task]]] = {
        "digits, quiet": ("digits", partial(backdoored_digits, quiet=True)),
        "byte-lm, quiet": ("byte-lm", partial(backdoored_byte_lm, words=QUIET)),
        "digits": ("digits", backdoored_digits),
        "byte-lm": ("byte-lm", backdoored_byte_lm),
    }
    for name, (kind, make) in made.items():
        if kind in given.tasks.split(","):
            table(name, kind, make, seeds)


def table(name: str, kind: str, make: Callable[[int], Task], seeds: Sequence[int]) -> None:
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed in seeds:
        task = make(seed)
        trusted, test = task.observed()
        fit, calibration = trusted.split(2 / 3, seed)
        detectors: list[Detector] = [
            *explained(SITE[kind], task.network, fit, site=task.site, seed=seed),
            *explained(["answers"], task.network, fit, setting="mechanism", seed=seed),
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
    ordinary = int((~task.anomalous).sum())
    least, most = false_alarms(calibration.size, ordinary, 0.05, len(seeds))
    print(
        f"\n{name}, {len(seeds)} seeds: AUROC [95 % interval]; false positives at .05, by chance in "
        f"[{least:.3f}, {most:.3f}]"
    )
    for detector, rows in found.items():
        mean, low, high = mean_interval([row[0] for row in rows])
        rate = sum(row[1] for row in rows) / len(rows)
        print(f"  {detector:30} {mean:.3f} [{low:.3f}, {high:.3f}]   {rate:.3f}")


if __name__ == "__main__":
    main()
