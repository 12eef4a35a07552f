"""Good and broken decompositions told apart without ground truth: SPD runs on the toy model of superposition.

    python benchmarks/spd_verdict.py CACHE [train|judge]

The weight by which ``tms-5-2`` reads its features is decomposed by many runs of SPD; the weight by which it
answers is left as it is. (Where both uses of the tied weight are masked alike, SPD's own losses do not have
the planted columns as their optimum; see docs/verdicts.md.) Schedules go round ``STEPS`` by the seed, so that
some are too short. The truth is known here, and used for the verdict alone: a run is *good* when every
planted column is matched one-to-one by a component (cosine at least .98, length within .1) and no other
component is ever active; else *broken*. Readings that know no truth (bits), and some that do (similarity to
the planted columns) or look at the weights alone (faithfulness loss), are then asked to tell good from
broken: the area under the ROC curve, with a 95 % score interval (Newcombe 2006, method 5; no point at 1).

Bits come at fixed precisions of the parts, and at the one that is shortest for each N. Readings and verdict
were fixed on other runs before these were trained. Checkpoints and readings are kept in CACHE; the tables go
to benchmarks/results/spd_verdict.txt.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from assay.explanations import (
    Components,
    load_components,
    save_components,
    svd_components,
)
from assay.explanations.components import Oracle, Reads
from assay.explanations.matching import column_recovery, match_columns
from assay.explanations.recipes.spd import SPDRecipe, decompose_several
from assay.mdl import GridTarget, MechanismProblem, score_mechanism
from assay.mdl.law import Law
from assay.models import Network, load, load_dataset
from assay.models.target_models import LayeredTMS, LayeredTMSConfig
from assay.models.zoo.tms import features
from torch import Tensor

WEIGHT = "linear1.weight"
STEPS = (8_000, 4_000, 2_000, 1_000)
SEEDS = range(300, 364)
ALL_LONG = 340
RECIPE = SPDRecipe(C=20, steps=0, lr=4e-3, importance=6e-2, relax=0.03, faithfulness=30.0, gate_hidden=16)
BATCH = 96
TOGETHER = 8
DELTAS = (0.01, 0.02, 0.05, 0.1, 0.2)
MIDDLE, MIDDLE_BITS = 0.05, 8
PRECISIONS = (3, 4, 5, 6, 7, 8, 10, 12)
FIXED = (6, 8, 10)
SIZES = (1, 1000)
DATA, DATA_SEED = 1024, 1
ORACLE = 0.05
RESULTS = Path(__file__).parent / "results" / "spd_verdict.txt"


def untied() -> Network:
    """``tms-5-2`` with its weight written twice: once to read, once to answer."""
    W, b = (load("zoo:tms-5-2").parameters()[name] for name in "Wb")
    module = LayeredTMS(LayeredTMSConfig(W.shape[1], W.shape[0], tied=False))
    module.load_state_dict({WEIGHT: W, "linear2.weight": W.T, "linear2.bias": b})
    return Network("tms-5-2, untied", module, "regression", "real", (W.shape[1],))


def planted(network: Network) -> Components:
    """One part for each feature: its column."""
    W = network.parameters()[WEIGHT]
    return Components(
        network, {WEIGHT: (W.T.contiguous(), torch.eye(W.shape[1]))}, Reads(), "true components"
    )


def data() -> Tensor:
    return load_dataset("zoo:tms-5-2", load("zoo:tms-5-2"), DATA, DATA_SEED).inputs


def recipe_of(seed: int) -> SPDRecipe:
    """Seeds from ``ALL_LONG`` on have the longest schedule: most runs with a shorter one are broken."""
    steps = STEPS[0] if seed >= ALL_LONG else STEPS[seed % len(STEPS)]
    return replace(RECIPE, steps=steps, seed=seed)


def draw(generator: torch.Generator) -> Tensor:
    """Features with at least one active: an input of zeros says nothing."""
    x = torch.empty(0, 5)
    while len(x) < BATCH:
        more = features(5 * BATCH, 5, generator)
        x = torch.cat([x, more[(more > 0).any(1)]])
    return x[:BATCH]


def batched(seeds: list[int]) -> Iterable[list[int]]:
    return (seeds[i : i + TOGETHER] for i in range(0, len(seeds), TOGETHER))


def train_all(network: Network, cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in SEEDS if not (cache / f"{seed}.safetensors").exists()]
    by_steps = sorted(missing, key=lambda seed: (-recipe_of(seed).steps, seed))
    for _, same in itertools.groupby(by_steps, lambda seed: recipe_of(seed).steps):
        for seeds in batched(list(same)):
            for made in decompose_several(network, (WEIGHT,), draw, [recipe_of(seed) for seed in seeds]):
                save_components(made, cache / f"{made.about['recipe']['seed']}.safetensors")  # type: ignore[index]
            print(f"seeds {seeds}: {recipe_of(seeds[0]).steps} steps", flush=True)


@dataclass(frozen=True)
class Run:
    """One run: the verdict with its reasons, and every reading by its name."""

    seed: int
    steps: int
    matched: int
    others_active: int
    readings: dict[str, float]

    @property
    def good(self) -> bool:
        return self.matched == 5 and self.others_active == 0


def laws(
    network: Network, made: Components, x: Tensor, delta: float, precisions: Iterable[int]
) -> dict[int, Law]:
    problem = MechanismProblem(x, network(x), GridTarget(delta))
    return {p: score_mechanism(made, problem, p).law for p in precisions}


def label(N: int, delta: float, how: str = "shortest") -> str:
    return f"L({N}), delta {delta:g}, {how}"


def all_bits(network: Network, made: Components, x: Tensor) -> dict[str, float]:
    """The law at every delta under fixed precisions, and under the shortest for each N."""
    found = {}
    for delta in DELTAS:
        by_precision = laws(network, made, x, delta, PRECISIONS)
        for N in SIZES:
            found |= {label(N, delta, f"{p} bits"): by_precision[p](N) for p in FIXED}
            found[label(N, delta)] = min(law(N) for law in by_precision.values())
    oracle = Components(network, made.factors, Oracle(ORACLE), made.name)
    (law,) = laws(network, oracle, x, MIDDLE, [MIDDLE_BITS]).values()
    return found | {label(N, MIDDLE, f"{MIDDLE_BITS} bits, oracle"): law(N) for N in SIZES}


def judged(network: Network, path: Path, x: Tensor) -> Run:
    made, W = load_components(path, network), network.parameters()[WEIGHT]
    L, R = made.factors[WEIGHT]
    parts = torch.einsum("ci,cj->cij", L, R)
    active = made.active({}, x)[:, 0]
    paired, near = match_columns(W, parts), column_recovery(W, parts)
    others = torch.ones(len(parts), dtype=torch.bool)
    others[paired.found] = False
    readings = all_bits(network, made, x)
    readings |= {
        "MMCS": near.mmcs,
        "MMCS, corrected for chance": near.corrected,
        "ML2R": near.ml2r,
        "faithfulness loss": float((parts.sum(0) - W).square().mean()),
        "active components": float(active.sum(1).float().mean()),
    }
    seed = int(path.stem)
    return Run(
        seed, recipe_of(seed).steps, int(paired.agrees().sum()), int(active[:, others].any(0).sum()), readings
    )


def judge_all(network: Network, cache: Path) -> list[Run]:
    x, runs = data(), []
    for path in (cache / f"{seed}.safetensors" for seed in SEEDS):
        kept = path.with_suffix(".json")
        if path.exists() and not kept.exists():
            kept.write_text(json.dumps(asdict(judged(network, path, x))))
        if kept.exists():
            runs.append(Run(**json.loads(kept.read_text())))
    return runs


def worse(name: str) -> Callable[[float], float]:
    """A reading on a scale where larger says broken."""
    if name.startswith("MMCS"):
        return lambda value: -value
    if name == "ML2R":
        return lambda value: abs(value - 1)
    return lambda value: value


def auc(good: list[float], broken: list[float]) -> float:
    """P(a broken run reads larger than a good one), ties by half."""
    wins = sum((b > g) + 0.5 * (b == g) for g in good for b in broken)
    return wins / (len(good) * len(broken))


def score_interval(area: float, m: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The areas that lie within z of their own standard errors (Hanley and McNeil) from this one."""
    more = (m + n) / 2 - 1

    def far(theta: float) -> float:
        spread = 1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return abs(area - theta) - z * math.sqrt(theta * (1 - theta) * spread / (m * n))

    return edge(far, area, 0.0), edge(far, area, 1.0)


def edge(far: Callable[[float], float], inside: float, outside: float) -> float:
    """Where ``far`` changes sign between a point that is not far and one that may be."""
    if far(outside) <= 0:
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if far(middle) <= 0 else (inside, middle)
    return inside


def areas(runs: list[Run]) -> list[str]:
    good, broken = [r for r in runs if r.good], [r for r in runs if not r.good]
    lines = [f"{len(good)} good, {len(broken)} broken", ""]
    if not good or not broken:
        return [*lines, "one kind only: nothing to tell apart", ""]
    lines.append(f"{'reading':48s}{'AUC':>6s}  {'95 %':14s}{'good: median':>14s}{'broken: median':>16s}")
    for name in runs[0].readings:
        scale = worse(name)
        sides = [[r.readings[name] for r in side] for side in (good, broken)]
        area = auc(*([scale(value) for value in side] for side in sides))
        low, high = score_interval(area, len(good), len(broken))
        medians = [f"{statistics.median(side):.4g}" for side in sides]
        lines.append(
            f"{name:48s}{area:6.3f}  {f'{low:.2f} .. {high:.2f}':14s}{medians[0]:>14s}{medians[1]:>16s}"
        )
    return [*lines, ""]


def each_run(runs: list[Run]) -> list[str]:
    """Shortest first."""
    columns = [label(N, MIDDLE, f"{MIDDLE_BITS} bits") for N in SIZES]
    lines = [f"Every run, shortest first (delta {MIDDLE:g}, {MIDDLE_BITS} bits a number)", ""]
    lines.append("  seed  steps verdict  columns others     L(1)   L(1000)    MMCS   ML2R  faithfulness")
    for r in sorted(runs, key=lambda r: r.readings[columns[0]]):
        one, thousand = (r.readings[c] for c in columns)
        lines.append(
            f"{r.seed:6d} {r.steps:6d} {'good  ' if r.good else 'broken'} {r.matched:8d} {r.others_active:6d}"
            f" {one:8.1f} {thousand:9.1f}  {r.readings['MMCS']:.4f}  {r.readings['ML2R']:5.3f}"
            f"  {r.readings['faithfulness loss']:.1e}"
        )
    return [*lines, ""]


def references(network: Network) -> list[str]:
    x = data()
    lines = [f"For comparison (delta {MIDDLE:g}, {MIDDLE_BITS} bits a number)", ""]
    for made in (planted(network), svd_components(network, (WEIGHT,))):
        (law,) = laws(network, made, x, MIDDLE, [MIDDLE_BITS]).values()
        lines.append(f"{made.name:24s} L(1) {law(1):8.1f}   L(1000) {law(1000):9.1f}")
    return [*lines, ""]


def main(argv: list[str]) -> None:
    cache, network = Path(argv[0]), untied()
    if "judge" not in argv:
        train_all(network, cache)
    if "train" in argv:
        return
    runs = judge_all(network, cache)
    text = "\n".join([*areas(runs), *references(network), *each_run(runs)])
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
