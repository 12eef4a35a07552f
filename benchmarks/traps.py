"""The traps beside the honest explanations: the table of docs/traps.md.

Run: python benchmarks/traps.py
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from assay.explanations import Lookup, Question, WholeNetwork, gather, planted_components
from assay.explanations.sae import SAESite
from assay.explanations.sae.shipped import shipped_sae
from assay.explanations.truth import true_circuit
from assay.explanations.truth.traps import (
    SwappedAnswers,
    arbitrary_parts,
    cancelling_pair,
    duplicated,
    everything_relevant,
    merged_mechanisms,
)
from assay.explanations.weighing import mechanism_problem, site_problem
from assay.mdl import Score, score_mechanism, score_site
from assay.models import zoo
from assay.models.programs import PROGRAMS

DATA = 400


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'trap':29} {'against':23} {'L(1)':>13} {'L(1000)':>15} {'rate':>13}  longer at; what grew most")
    for trap, honest, score, rival in cases():
        pairs = [f"{score.law(N):.0f} / {rival.law(N):.0f}" for N in (1, 1000)]
        rate = f"{score.law.rate:.2f} / {rival.law.rate:.2f}"
        why = f"{rejected(score, rival)}; {reason(score, rival)}"
        print(f"{trap:29} {honest:23} {pairs[0]:>13} {pairs[1]:>15} {rate:>13}  {why}", flush=True)


def rejected(score: Score, rival: Score) -> str:
    """Where the trap is longer than the honest explanation."""
    longer = {f"L({N})": score.law(N) > rival.law(N) for N in (1, 1000)}
    longer["rate"] = score.law.rate > rival.law.rate
    return ", ".join(name for name, yes in longer.items() if yes) or "nowhere"


def reason(score: Score, rival: Score) -> str:
    """The line of the ledger that grew most."""
    own = {line.name: line.bits for line in score.ledger.lines}
    grown = {line.name: own.get(line.name, 0.0) - line.bits for line in rival.ledger.lines}
    line = max(grown, key=lambda name: grown[name])
    kl = score.faithfulness.get("kl_bits", 0.0)
    return f"{line} {grown[line]:+.0f}" + (f", KL {kl:.3f} bits a datum" if kl else "")


def cases() -> Iterator[tuple[str, str, Score, Score]]:
    """(trap, honest, score of the trap, score of the honest one)."""
    yield from superposition("tms-5-2", 0.05)
    yield from superposition("tms-40-10", 0.05)
    yield from program()
    yield from dictionary()
    yield from mean_loss()


def superposition(name: str, delta: float) -> Iterator[tuple[str, str, Score, Score]]:
    network, data = zoo.load(name), zoo.data(name, DATA, 1)
    evidence = gather(Question("mechanism", "outputs", delta=delta), network, data)
    problem = mechanism_problem(evidence)
    honest = planted_components(network)
    rival = score_mechanism(honest, problem)
    traps: list[Any] = [
        everything_relevant(honest),
        Lookup(network, data.inputs),
        arbitrary_parts(honest),
        cancelling_pair(honest),
        merged_mechanisms(network),
    ]
    for trap in traps:
        score = score_mechanism(trap, problem)
        yield trap.name, f"true parts of {name}", score, rival
        if trap.name.startswith("arbitrary"):
            yield trap.name, f"network {name}", score, score_mechanism(WholeNetwork(network), problem)


def program() -> Iterator[tuple[str, str, Score, Score]]:
    source = PROGRAMS["sort"]()
    compiled = source.compile()
    evidence = gather(Question("mechanism", "outputs"), compiled.network, source.data(DATA, 1))
    problem = mechanism_problem(evidence)
    scores = [score_mechanism(e, problem) for e in (WholeNetwork(compiled.network), true_circuit(compiled))]
    yield "every edge is relevant", "true circuit of sort", *scores


def dictionary() -> Iterator[tuple[str, str, Score, Score]]:
    network, data = zoo.load("byte-lm"), zoo.data("byte-lm", 300, 1)
    sae = shipped_sae("byte-lm-sae-256")
    question = Question("site", "activations", site=sae.site, delta=0.1)
    problem = site_problem(gather(question, network, data))
    scores = [score_site(SAESite(each), problem) for each in (duplicated(sae), sae)]
    yield "a duplicated dictionary", "SAE of 256 features", *scores


def mean_loss() -> Iterator[tuple[str, str, Score, Score]]:
    network, data = zoo.load("digits"), zoo.data("digits", 360, 1)
    assert data.labels is not None
    problem = mechanism_problem(gather(Question("mechanism", "outputs"), network, data))
    trap = SwappedAnswers(network, data.inputs, data.labels)
    scores = [score_mechanism(each, problem, 12) for each in (trap, WholeNetwork(network))]
    yield "perfect mean loss", "whole network of digits", *scores


if __name__ == "__main__":
    main()
