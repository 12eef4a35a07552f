"""Compact proofs beyond max-of-K: networks retrained from several seeds, and what is certified of them.

    python benchmarks/compact_proofs_beyond.py [--seeds 5] [--only Z59] > results.json

For each task and seed: training by the recipe of the zoo (other sizes where a row says so), accuracy on
65,536 drawn words, and every strategy in both arithmetics, with the bits that its verifier is told beside the
weights, and the size of a certificate that the checker accepted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from assay.models.products import ProductConfig
from assay.models.zoo import words
from assay.proofs import InputError
from assay.proofs.words import Explained, Subject, apply, certify


@dataclass(frozen=True)
class Task:
    """A recipe, and how many seeds of those that are asked for it gets at most."""

    recipe: words.Recipe
    seeds: int


TASKS = (
    Task(words.SUM_OF_8, 10),
    Task(words.Recipe(ProductConfig("Z59", 20, 16), 512, 4, words.descent(4000)), 3),
    Task(words.Recipe(ProductConfig("Z59", 8, 8), 512, 4, words.descent(4000)), 5),
    Task(words.Recipe(ProductConfig("Z113", 10, 16), 512, 4, words.descent(6000)), 5),
    Task(words.Recipe(ProductConfig("S3", 10, 6), 256, 4, words.descent(2500)), 5),
    Task(words.WORD_OF_6, 5),
    Task(words.Recipe(ProductConfig("S5", 6, 16), 256, 3, words.descent(6000)), 3),
    Task(words.BRACKETS_OF_40, 10),
    Task(words.Recipe(ProductConfig("D8", 40, 10), 256, 20, words.descent(3000)), 3),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", help="an automaton")
    chosen = parser.parse_args()
    for task in TASKS:
        if chosen.only in (None, task.recipe.config.automaton):
            for seed in range(min(chosen.seeds, task.seeds)):
                print(json.dumps(row(task.recipe, seed)), flush=True)


def row(recipe: words.Recipe, seed: int) -> dict[str, Any]:
    start = time.perf_counter()
    network = words.train(recipe, seed)
    seconds = time.perf_counter() - start
    drawn = words.data(recipe.config, 65_536, 1)
    assert drawn.labels is not None
    accuracy = float((network(drawn.inputs).argmax(-1) == drawn.labels).double().mean())
    config = recipe.config
    print(f"{config.automaton} K={config.length} d={config.width} seed {seed}: {accuracy}", file=sys.stderr)
    return {
        "automaton": config.automaton,
        "K": config.length,
        "width": config.width,
        "seed": seed,
        "parameters": sum(p.numel() for p in network.parameters().values()),
        "training_seconds": round(seconds, 1),
        "accuracy": accuracy,
        "bounds": [bounded(Subject(network, semantics), form) for semantics, form in asked(config)],
    }


def asked(config: ProductConfig) -> list[tuple[Any, Any]]:
    forms = ("fourier", "pairs") if config.task.cyclic else ("pairs",)
    return [(semantics, form) for form in forms for semantics in ("real", "float32")]


def bounded(subject: Subject, form: Any) -> dict[str, Any]:
    strategy = Explained(form)
    try:
        bound = apply(strategy, subject)
    except InputError as error:
        return {"strategy": strategy.name, "semantics": subject.semantics, "refused": str(error)}
    return {
        "strategy": strategy.name,
        "semantics": subject.semantics,
        "certified": bound.accuracy,
        "operations": bound.operations,
        "bits_told": round(strategy.bits(subject), 1),
        "seconds": round(bound.seconds, 3),
        "certificate_bytes": certificate_size(bound, subject),
    }


def certificate_size(bound: Any, subject: Subject) -> int:
    """Of a certificate that the checker accepts; the check's time is its own."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        return certify(bound, subject, Path(folder)).stat().st_size


if __name__ == "__main__":
    main()
