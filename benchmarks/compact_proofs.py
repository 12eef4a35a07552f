"""Compact proofs over many seeds: certified accuracy, length of proof and time, strategy by strategy.

    python benchmarks/compact_proofs.py --seeds 151          # max of 4 of 64, retrained
    python benchmarks/compact_proofs.py --seeds 3 --k 10     # also --k 5, --k 20, --v 128
    python benchmarks/compact_proofs.py --enumerate 3        # soundness over all 16.7M sequences
    python benchmarks/compact_proofs.py --bits               # of the explanation, beside length and bound
    python benchmarks/compact_proofs.py --summary

Rows are appended to benchmarks/results/compact_proofs.csv as they come, and what is there is not made again;
seeds run from 1. Accuracy is measured on 2^18 sequences. `--enumerate` compares, for the first seeds, the set
that the numerator forms certify with what exact evaluation along the paths says of every single sequence.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from assay.mdl.lengths import kt
from assay.models import Network, zoo
from assay.models.zoo import max_of_k
from assay.proofs.strategies import (
    Bound,
    Numerators,
    Strategy,
    Subject,
    apply,
    best,
    named,
    quality,
    search,
    strategies,
    sweep,
)
from assay.proofs.strategies.catalogue import GRIDS
from assay.proofs.strategies.enumeration import right_by_paths
from assay.proofs.strategies.numerators import grid_of
from assay.proofs.strategies.reals import reals
from assay.proofs.strategies.subcubic import SubCubic
from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results" / "compact_proofs.csv"
SAMPLE = 1 << 18
BUDGETS = {"search, 2e6": 2e6, "search, 5e6": 5e6, "search, 1e7": 1e7, "search, 1e8": 1e8}
SEARCHED = 12
"""So many seeds are searched; the others see the strategies of the catalogue."""
MOST_OUTPUTS = 10
"""Up to so many positions single outputs are looked at."""


@dataclass(frozen=True)
class Trained:
    """A model of one seed, and how long training took."""

    network: Network
    k: int
    v: int
    seed: int
    seconds: float

    @classmethod
    def of(cls, k: int, v: int, seed: int) -> Trained:
        start = time.perf_counter()
        network = max_of_k.train(seed, None, k, v)
        return cls(network, k, v, seed, time.perf_counter() - start)

    def accuracy(self) -> float:
        dataset = max_of_k.data(SAMPLE, 10**6 + self.seed, self.k, self.v)
        assert dataset.labels is not None
        return float((self.network(dataset.inputs).argmax(-1) == dataset.labels).double().mean())


def rows(trained: Trained) -> Iterator[dict[str, object]]:
    """What is written of one model: every strategy, the searches, and Q."""
    start = time.perf_counter()
    subject = Subject(trained.network)
    subject.paths  # noqa: B018  (multiplied out once, for all strategies)
    multiplied = time.perf_counter() - start
    accuracy = trained.accuracy()
    about = {"k": trained.k, "v": trained.v, "seed": trained.seed, "accuracy": accuracy}

    def row(name: str, semantics: str, bound: Bound) -> dict[str, object]:
        return {
            **about,
            "strategy": name,
            "semantics": semantics,
            "certified": bound.accuracy,
            "relative": bound.accuracy / accuracy,
            "operations": bound.operations,
            "unexplained": bound.unexplained,
            "seconds": round(bound.seconds + multiplied, 3),
        }

    bounds = [apply(s, subject) for s in suitable(trained.k, subject)]
    if trained.k == 4 and trained.seed <= SEARCHED:
        tried = [*bounds, *search(subject, max(BUDGETS.values()))]
        for name, budget in BUDGETS.items():
            if (found := best(tried, budget)) is not None:
                yield row(name, "real", found)
        yield {**about, "strategy": "Q", "semantics": "real", "certified": quality(bounds, subject.shape)}
    yield from (row(bound.strategy.name, "real", bound) for bound in bounds)
    single = apply(named("joint-apart-exact"), Subject(trained.network, "float32"))
    yield row(single.strategy.name, "float32", single)


def bits(strategy: Strategy, subject: Subject) -> float:
    """Bits of what is told beside the weights, so that verifying needs no search.

    Which strategy of the catalogue; the grid of a numerator form; for a sub-cubic proof how far below the
    maximum the others are, for each query, maximum and number of copies (adaptive code, one for each number
    of copies), and the direction of a low-rank QK in float32.
    """
    told = math.log2(len(strategies()))
    if isinstance(strategy, Numerators):
        told += math.log2(len(GRIDS))
    if isinstance(strategy, SubCubic):
        alphabet = subject.shape.v + 1
        told += sum(kt(np.bincount(sizes, minlength=alphabet)) for sizes in strategy.gaps(subject))
        told += 32 * subject.shape.d * (strategy.QK == "low-rank")
    return told


def explanations() -> str:
    """Bits of the explanation, length of proof and bound for the shipped model."""
    subject = Subject(zoo.load("max-of-4"))
    lines = [f"{'strategy':36} {'bits told':>10} {'operations':>14} {'certified':>10}"]
    for bound in sorted(sweep(subject), key=lambda bound: bound.operations):
        told = bits(bound.strategy, subject)
        lines.append(f"{bound.strategy.name:36} {told:10,.0f} {bound.operations:14,} {bound.accuracy:10.5f}")
    return "\n".join(lines)


def suitable(k: int, subject: Subject) -> Iterator[Strategy]:
    """The strategies that are worth their time at this number of positions."""
    for strategy in strategies().values():
        outputs = isinstance(strategy, Numerators) and strategy.outputs
        listing = strategy.unexplained(subject.shape) > subject.shape.sequences
        if "real" in strategy.semantics and not listing and not (outputs and k > MOST_OUTPUTS):
            yield strategy


def append(trained: Trained) -> None:
    """Add a model's rows to the results, whole."""
    table = pd.DataFrame(rows(trained))
    if RESULTS.exists():
        table = pd.concat([pd.read_csv(RESULTS), table])
    unfinished = RESULTS.with_suffix(".part")
    table.to_csv(unfinished, index=False, float_format="%.7g")
    unfinished.replace(RESULTS)


def done(k: int, v: int) -> set[int]:
    """The seeds that are in the results."""
    if not RESULTS.exists():
        return set()
    table = pd.read_csv(RESULTS)
    return set(table[(table.k == k) & (table.v == v)].seed)


def summary() -> str:
    """Means over seeds, and their standard deviations."""
    table = pd.read_csv(RESULTS)
    groups = table.groupby(["k", "v", "strategy", "semantics"])
    shown = groups.agg(
        seeds=("seed", "nunique"),
        certified=("certified", "mean"),
        relative=("relative", "mean"),
        spread=("relative", "std"),
        worst=("relative", "min"),
        operations=("operations", "median"),
        seconds=("seconds", "median"),
    )
    ordered = shown.sort_values(["k", "v", "operations"])
    return ordered.to_string(float_format=lambda x: f"{x:,.4f}" if abs(x) < 1e3 else f"{x:,.0f}")


def enumerated(trained: Trained, strategy: Numerators) -> tuple[int, int, int]:
    """(certified by formula, certified one by one, of these wrong) for K = 4."""
    subject = Subject(trained.network)
    table, v = reals(subject.paths), subject.shape.v
    listed = wrong = 0
    for q in range(v):
        grid = grid_of(subject.paths, q, strategy.bracket, strategy.positions, strategy.grid)
        for first, right in enumerate(right_by_paths(table, q)):
            certain = _certain(grid.free, grid.last, q, first)
            listed += int(certain.sum())
            wrong += int((certain & ~right).sum())
    return apply(strategy, subject).certified, listed, wrong


def _certain(free: NDArray[np.int64], last: NDArray[np.int64], q: int, first: int) -> NDArray[np.bool_]:
    """Which sequences (first, y, z, q) have a negative sum: [y, z]."""
    free = np.broadcast_to(free, (free.shape[0], 3, free.shape[2]))
    y, z = np.ogrid[: len(last), : len(last)]
    m = np.maximum(np.maximum(y, z), max(q, first))
    certain: NDArray[np.bool_] = free[m, 0, first] + free[m, 1, y] + free[m, 2, z] + last[m] < 0
    return certain


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--v", type=int, default=64)
    parser.add_argument("--enumerate", type=int, default=0, metavar="MODELS")
    parser.add_argument("--bits", action="store_true", help="bits of the explanation of the shipped model")
    parser.add_argument("--summary", action="store_true", help="only show what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.bits:
        print(explanations())
        return
    if options.enumerate:
        for seed in range(1, options.enumerate + 1):
            for name in ("joint-apart-exact", "split-together-exact"):
                strategy = named(name)
                assert isinstance(strategy, Numerators)
                counts = enumerated(Trained.of(4, 64, seed), strategy)
                print(
                    f"seed {seed} {name}: formula {counts[0]}, listed {counts[1]}, wrong {counts[2]}",
                    flush=True,
                )
        return
    if not options.summary:
        present = done(options.k, options.v)
        for seed in range(1, options.seeds + 1):
            if seed not in present:
                append(Trained.of(options.k, options.v, seed))
                print(f"max of {options.k} of {options.v}, seed {seed}", flush=True)
    print(summary())


if __name__ == "__main__":
    main()
