"""Compact proofs over many seeds: certified accuracy, length of proof and time, strategy by strategy.

    python benchmarks/compact_proofs.py --seeds 151          # max of 4 of 64, retrained
    python benchmarks/compact_proofs.py --seeds 3 --k 10     # also --k 5, --k 20, --v 128
    python benchmarks/compact_proofs.py --enumerate 3        # soundness over all 16.7M sequences
    python benchmarks/compact_proofs.py --bits               # of the explanation, beside length and bound
    python benchmarks/compact_proofs.py --summary

Rows are appended to benchmarks/results/compact_proofs.csv as they come, and what is there is not made again;
seeds run from 1. Accuracy is measured on 2^18 sequences; seconds are those of one processor, products of
weights included. `--enumerate` compares, for the first seeds, the set that the numerator forms certify with
what float64 evaluation along the paths says of every single sequence.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from assay.mdl.lengths import kt
from assay.models import Network, Transformer
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
)
from assay.proofs.strategies.catalogue import COARSE_GRIDS
from assay.proofs.strategies.numerators import grid_of
from assay.proofs.strategies.paths import DIRECTION, Rank

RESULTS = Path(__file__).parent / "results" / "compact_proofs.csv"
SAMPLE = 1 << 18
BUDGETS = {"search, 1e6": 1e6, "search, 2e6": 2e6, "search, 5e6": 5e6, "search, 1e7": 1e7, "search, 1e8": 1e8}
SEARCHED = 6
"""So many seeds are searched; the others see the strategies of the catalogue."""
MOST_OUTPUTS, MOST_LISTED = 10, 4
"""Up to so many positions single outputs are looked at, and sequences one by one."""


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
        start = time.process_time()
        network = max_of_k.train(seed, None, k, v)
        return cls(network, k, v, seed, time.process_time() - start)

    def accuracy(self) -> float:
        dataset = max_of_k.data(SAMPLE, 10**6 + self.seed, self.k, self.v)
        assert dataset.labels is not None
        return float((self.network(dataset.inputs).argmax(-1) == dataset.labels).double().mean())


def rows(trained: Trained) -> Iterator[dict[str, object]]:
    """What is written of one model: every strategy, the searches, and Q."""
    subject = Subject(trained.network)
    multiplied = {ranks: multiplying(subject, *ranks) for ranks in product(get_args(Rank), repeat=2)}
    accuracy = trained.accuracy()
    about = {"k": trained.k, "v": trained.v, "seed": trained.seed, "accuracy": accuracy}

    def row(name: str, semantics: str, bound: Bound) -> dict[str, object]:
        ranks = getattr(bound.strategy, "QK", "full"), getattr(bound.strategy, "EU", "full")
        return {
            **about,
            "strategy": name,
            "semantics": semantics,
            "certified": bound.accuracy,
            "relative": bound.accuracy / accuracy,
            "operations": bound.operations,
            "unexplained": bound.unexplained,
            "seconds": round(bound.seconds + multiplied[ranks], 3),
            "bits": round(bits(bound.strategy, subject)),
        }

    bounds = [apply(s, subject) for s in suitable(trained.k, subject)]
    if trained.k == 4 and trained.seed <= SEARCHED:
        tried = search(subject, max(BUDGETS.values()))
        for name, budget in BUDGETS.items():
            if (found := best(tried, budget)) is not None:
                yield row(name, "real", found)
        yield {**about, "strategy": "Q", "semantics": "real", "certified": quality(tried, subject.shape)}
    yield from (row(bound.strategy.name, "real", bound) for bound in bounds)
    single = apply(named("joint-apart-exact"), Subject(trained.network, "float32"))
    yield row(single.strategy.name, "float32", single)


def multiplying(subject: Subject, QK: Rank, EU: Rank) -> float:
    """Seconds that the products of weights take."""
    start = time.process_time()
    subject.tables(QK, EU)
    return time.process_time() - start


def bits(strategy: Strategy, subject: Subject) -> float:
    """Bits of what is told beside the weights, so that verifying needs no search.

    Which strategy of the catalogue; the grid of a numerator form; for a sub-cubic proof how far below the
    maximum the others are, for each query, maximum and number of copies (adaptive code, one for each number
    of copies), and the direction of a low-rank QK in small whole numbers.
    """
    told = math.log2(len(strategies()))
    if isinstance(strategy, Numerators):
        told += math.log2(len(COARSE_GRIDS))
        if strategy.tokens == "prefixes":
            told += sum(
                kt(np.bincount(sizes, minlength=subject.shape.v + 1)) for sizes in strategy.gaps(subject)
            )
        told += math.log2(2 * DIRECTION + 1) * subject.shape.d * (strategy.QK == "low-rank")
    return told


def explanations(k: int, v: int) -> pd.DataFrame:
    """Bits of the explanation, length of proof and bound: medians over seeds, the shortest proof first."""
    table = pd.read_csv(RESULTS)
    chosen = table[(table.k == k) & (table.v == v) & (table.semantics == "real") & table.bits.notna()]
    chosen = chosen[~chosen.strategy.str.startswith("search")]
    medians = chosen.groupby("strategy")[["bits", "operations", "certified"]].median()
    return medians.sort_values("operations")


def suitable(k: int, subject: Subject) -> Iterator[Strategy]:
    """The strategies that are worth their time at this number of positions."""
    for strategy in strategies().values():
        outputs = isinstance(strategy, Numerators) and strategy.outputs
        listing = isinstance(strategy, Numerators) and strategy.counting == "listed" and k > MOST_LISTED
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


LISTED = ("joint-apart-exact", "split-together-exact-blocks-low-rank-QK-low-rank-EU-5-bits")


def enumerated(trained: Trained) -> tuple[int, dict[str, tuple[int, int, int]]]:
    """On how many sequences the network, run in float64, is right; and for strategies how many the formula
    certifies, how many are certified one by one, and of these how many are wrong. For K = 4."""
    subject = Subject(trained.network)
    v = subject.shape.v
    strategies = {name: strategy for name in LISTED if isinstance(strategy := named(name), Numerators)}
    module = Transformer(trained.network.module.config).double()  # type: ignore[arg-type]
    module.load_state_dict(trained.network.module.state_dict())
    free = torch.cartesian_prod(*3 * [torch.arange(v)])
    answered, counts = 0, np.zeros((len(strategies), 2), dtype=np.int64)
    for q in range(v):
        tokens = torch.cat([free, torch.full((len(free), 1), q)], 1)
        with torch.no_grad():
            highest = module(tokens).topk(2)
        m = tokens.amax(1)
        right = ((highest.indices[:, 0] == m) & (highest.values[:, 0] > highest.values[:, 1])).numpy()
        answered += int(right.sum())
        for k, strategy in enumerate(strategies.values()):
            certain = listed(subject, strategy, q, free, m)
            counts[k] += certain.sum(), (certain & ~right).sum()
    pairs = zip(strategies.items(), counts.tolist(), strict=True)
    return answered, {name: (apply(each, subject).certified, *told) for (name, each), told in pairs}


def listed(subject: Subject, strategy: Numerators, q: int, free: torch.Tensor, m: torch.Tensor) -> np.ndarray:
    """Which of the sequences that end in q a strategy certifies; m are their maxima."""
    paths, v = subject.tables(strategy.QK, strategy.EU), subject.shape.v
    grid = grid_of(paths, q, strategy.bracket, strategy.positions, strategy.tokens, strategy.grid)
    psi = np.broadcast_to(grid.free, (v, 3, v))
    return sum(psi[m, p, free[:, p]] for p in range(3)) + grid.last[m] < 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--v", type=int, default=64)
    parser.add_argument("--enumerate", type=int, default=0, metavar="MODELS")
    parser.add_argument("--bits", action="store_true", help="bits of explanations")
    parser.add_argument("--summary", action="store_true", help="only show what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.bits:
        print(explanations(options.k, options.v).to_string(float_format=lambda x: f"{x:,.5g}"))
        return
    if options.enumerate:
        for seed in range(1, options.enumerate + 1):
            trained = Trained.of(4, 64, seed)
            right, found = enumerated(trained)
            exact = apply(named("by-paths"), Subject(trained.network)).certified
            print(f"seed {seed}: right on {right} of {64**4}, by-paths: {exact}")
            for name, counts in found.items():
                print(f"  {name}: formula {{}}, listed {{}}, of these wrong {{}}".format(*counts), flush=True)
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
