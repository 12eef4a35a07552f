"""Does the truth come out shortest? Compiled programs, and bigram memories with more facts than dimensions.

For each compiled program: L(1) and L(10³) of the true circuit, the whole network, the neuron basis, the
answers alone and 100 random circuits of as many edges; then how often the true circuit is longer without one
of its edges (each in turn), or with one of 100 others. For each memory: the same of one part a fact, singular
vectors and the whole network.

Run: python benchmarks/known_truth.py [PROGRAM …] (all of them and the memories by default)
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

import torch
from assay.explanations import Answers, Neurons, Question, WholeNetwork, gather, svd_components
from assay.explanations.truth import (
    edges,
    fact_components,
    flipped,
    random_circuit,
    true_circuit,
    true_edges,
)
from assay.explanations.weighing import mechanism_problem
from assay.mdl import MechanismProblem, Score, score_mechanism
from assay.models import Dataset, Network
from assay.models.programs import PROGRAMS, Compiled, bigram_memory

DATA, RANDOM_CIRCUITS, ADDED = 1000, 100, 100
MEMORIES = ((50, 24), (200, 64), (500, 100), (1000, 128))
DELTA = 2.0**-6  # of the one program that answers with a number


def main() -> None:
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or [*PROGRAMS, "memories"]
    for name in chosen:
        if name == "memories":
            for facts, dimensions in MEMORIES:
                memory(facts, dimensions)
        else:
            program(name)


def program(name: str) -> None:
    source = PROGRAMS[name]()
    compiled = source.compile()
    delta = DELTA if source.output.values is None else None
    problem = problem_of(compiled.network, source.data(DATA, 1), delta)
    whole = sum(p.numel() for p in compiled.network.parameters().values())
    print(f"{name}: {len(true_edges(compiled))} true of {len(edges(compiled))} edges, {whole} weights")
    candidates: list[Any] = [
        true_circuit(compiled),
        WholeNetwork(compiled.network),
        Neurons(compiled.network),
        Answers(compiled.network, compiled.network(problem.inputs)),
    ]
    truth = table(candidates, problem)
    others(compiled, problem, truth)
    near_misses(compiled, problem, truth)


def others(compiled: Compiled, problem: MechanismProblem, truth: Score) -> None:
    """All entries of a tensor are of one size: the truth's precision holds random circuits exactly, too."""
    precision = int(truth.knobs["precision"])
    laws = [
        score_mechanism(random_circuit(compiled, seed), problem, precision).law
        for seed in range(RANDOM_CIRCUITS)
    ]
    for N in (1, 1000):
        lengths = sorted(law(N) for law in laws)
        beaten = sum(length > truth.law(N) for length in lengths)
        print(
            f"  random circuits, L({N}): shortest {lengths[0]:.0f}, median {lengths[len(lengths) // 2]:.0f}; "
            f"{beaten} of {len(lengths)} longer than the truth"
        )


def near_misses(compiled: Compiled, problem: MechanismProblem, truth: Score) -> None:
    true = true_edges(compiled)
    false = sorted(set(edges(compiled)) - set(true))
    some = random.Random(0).sample(false, min(ADDED, len(false)))
    for change, tried in (("dropped", true), ("added", some)):
        scores = [
            score_mechanism(flipped(compiled, edge), problem, int(truth.knobs["precision"])) for edge in tried
        ]
        longer = {N: sum(score.law(N) > truth.law(N) for score in scores) for N in (1, 1000)}
        rise = sorted(score.law(1000) - truth.law(1000) for score in scores)
        print(
            f"  one edge {change}: longer at L(1000) in {longer[1000]} of {len(scores)}, "
            f"at L(1) in {longer[1]}; L(1000) rises by {rise[0]:.1f} to {rise[-1]:.1f} bits, "
            f"median {rise[len(rise) // 2]:.1f}"
        )


def memory(facts: int, dimensions: int) -> None:
    stored = bigram_memory(facts, dimensions)
    print(f"bigram memory: {facts} facts in {dimensions} dimensions, {stored.recalled:.1%} recalled")
    problem = problem_of(stored.network, stored.data(DATA, 1), None)
    weights = (stored.memory,)
    one_by_one = fact_components(stored)
    table([one_by_one, svd_components(stored.network, weights), WholeNetwork(stored.network)], problem)
    fires_for_one_fact(one_by_one, facts)


def fires_for_one_fact(explanation: Any, facts: int) -> None:
    """Which keys each part is active on, over all keys."""
    restored = {tensor.name: tensor.values for tensor in explanation.parts().tensors}
    on = explanation.active(restored, torch.eye(facts))[:, 0]
    exclusive = (on.sum(0) == 1) & (on.diagonal())
    print(f"  parts that fire for their own fact and no other: {int(exclusive.sum())} of {facts}")


def problem_of(network: Network, data: Dataset, delta: float | None) -> MechanismProblem:
    return mechanism_problem(gather(Question("mechanism", "outputs", delta=delta), network, data))


def table(candidates: Sequence[Any], problem: MechanismProblem) -> Score:
    """Prints a line for each; gives the score of the first."""
    scores = [score_mechanism(candidate, problem) for candidate in candidates]
    print(f"  {'explanation':18} {'L(1)':>9} {'L(1000)':>9} {'per datum':>10} {'bits/number':>11}")
    for candidate, score in zip(candidates, scores, strict=True):
        law = score.law
        knobs = score.knobs["precision"]
        print(
            f"  {candidate.name:18} {law(1):9.0f} {law(1000):9.0f} {law.rate:10.3f} {knobs:>11}", flush=True
        )
    return scores[0]


if __name__ == "__main__":
    main()
