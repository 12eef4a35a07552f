"""Every trap against every trial and the bits, in one table: what catches it, with which figure.

Run: python benchmarks/traps.py
Bits are computed in this run: trap / honest explanation of the same data. The honest explanations stand in
the table as well: nothing must speak against them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from assay.explanations import Lookup, Question, WholeNetwork, gather, planted_components
from assay.explanations.sae import SAESite
from assay.explanations.sae.shipped import shipped_sae
from assay.explanations.trials import (
    sets_of_code,
    sets_of_mechanism,
    sufficiency,
    try_parts,
    try_usage,
    try_weights,
)
from assay.explanations.trials.usage import MOST
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
from assay.models import Network, zoo
from assay.models.programs import PROGRAMS

DATA, TRIED = 400, 64
BITS = ("total", "L(1)", "L(1000)", "rate")
COLUMNS = {
    "enough": "divergence of a datum with what is called active alone",
    "added": "the same, worst over random additions",
    "needless": "share of what is called needed that is not: (datum, part), or weights",
    "pairs": "pairs of parts that cancel",
    "unseen": "share of new data that need parts which no earlier datum used",
    "twins": "share of parts that are always active with another one",
    "loss": "KL where the mean loss is recovered",
    "total": "bits of the whole message, trap / honest",
    "L(1)": "bits to be read for one datum",
    "L(1000)": "the same for a thousand",
    "rate": "bits for each further datum",
}
WIDTHS = {column: 20 if column == "total" else 17 if column in BITS else 9 for column in COLUMNS}
REASON = 40


@dataclass
class Row:
    """One explanation in the table: by column whether it is caught, and the figure."""

    name: str
    against: str
    cells: dict[str, tuple[bool, str]] = field(default_factory=dict)
    reason: str = ""

    def line(self) -> str:
        """As the table shows it: ! marks what speaks against it, – what does not apply."""
        found = []
        for column in COLUMNS:
            caught, figure = self.cells.get(column, (False, "–"))
            found.append(f"{'!' if caught else ' '}{figure}".ljust(WIDTHS[column]))
        by = ", ".join(c for c in COLUMNS if self.cells.get(c, (False, ""))[0]) or "nothing"
        return f"{self.name:29} {self.against:23} {' '.join(found)} {self.reason:{REASON}} {by}"


def main() -> None:
    torch.set_num_threads(1)
    start = time.process_time()
    print("! speaks against the explanation;   no mark: does not;   – does not apply")
    for column, about in COLUMNS.items():
        print(f"  {column:9} {about}")
    heads = " ".join(f" {c}".ljust(WIDTHS[c]) for c in COLUMNS)
    print(f"\n{'explanation':29} {'bits against':23} {heads} {'what grew most':{REASON}} caught by")
    uncaught = []
    for row in rows():
        print(row.line(), flush=True)
        if row.against and not any(caught for caught, _ in row.cells.values()):
            uncaught.append(row.name)
    print(f"\ncaught by nothing: {', '.join(uncaught) or 'no trap'}")
    print(f"{time.process_time() - start:.0f} CPU seconds")


def rows() -> Iterator[Row]:
    """Honest explanations (without a rival) and traps."""
    yield from superposition("tms-5-2", 0.05)
    yield from superposition("tms-40-10", 0.05)
    yield from program()
    yield from dictionary()
    yield from mean_loss()


def weighed(row: Row, score: Score, rival: Score) -> Row:
    """Add the bits, and what grew most."""
    own, other = score.law, rival.law
    pairs = {
        "total": (score.ledger.total, rival.ledger.total),
        "L(1)": (own(1), other(1)),
        "L(1000)": (own(1000), other(1000)),
        "rate": (own.rate, other.rate),
    }
    for name, (mine, theirs) in pairs.items():
        row.cells[name] = (mine > theirs + 1e-9, f"{shown(mine)} / {shown(theirs)}")
    row.reason = reason(score, rival)
    return row


def reason(score: Score, rival: Score) -> str:
    """The line of the message that grew most; of one datum's, where the whole message is no longer."""
    told, other = ({line.name: line.bits for line in s.ledger.lines} for s in (score, rival))
    where = ""
    if score.ledger.total <= rival.ledger.total:
        told, other = ({"parts": p.parts, **p.lines} for p in (score.law.at(1), rival.law.at(1)))
        where = " for one datum"
    grown = {name: told.get(name, 0.0) - bits for name, bits in other.items()}
    line = max(grown, key=lambda name: grown[name])
    kl = score.faithfulness.get("kl_bits", 0.0)
    return f"{line} {grown[line]:+,.0f}{where}" + (f", KL {kl:.3f} a datum" if kl else "")


def shown(bits: float) -> str:
    """Short."""
    return f"{bits:.2f}" if bits < 100 else f"{bits:.0f}"


def tried(row: Row, network: Network, explanation: Any, seed: int) -> Row:
    """Add the trials of a mechanism's parts, on data that were not scored."""
    name = network.name
    x = zoo.data(name, TRIED, seed).inputs
    if not isinstance(explanation, Lookup):
        done = try_parts(explanation, x)
        tolerance = done.tolerance
        row.cells["enough"] = (done.divergence > tolerance, f"{done.divergence:.3f}")
        row.cells["added"] = (done.added > tolerance >= done.divergence, f"{done.added:.3f}")
        row.cells["needless"] = (done.needless > MOST, f"{done.needless:.2f}")
        row.cells["pairs"] = (done.cancelling > 0, str(done.cancelling))
    return used(row, sets_of_mechanism(explanation, zoo.data(name, DATA, 1).inputs))


def used(row: Row, active: torch.Tensor) -> Row:
    """Add the trials of active sets."""
    done = try_usage(active)
    row.cells["unseen"] = (done.unseen > MOST, f"{done.unseen:.2f}")
    row.cells["twins"] = (done.twins > MOST, f"{done.twins:.2f}")
    return row


def superposition(name: str, delta: float) -> Iterator[Row]:
    network, data = zoo.load(name), zoo.data(name, DATA, 1)
    problem = mechanism_problem(gather(Question("mechanism", "outputs", delta=delta), network, data))
    honest = planted_components(network)
    yield tried(Row(f"true parts of {name}", ""), network, honest, 2)
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
        row = tried(Row(trap.name, f"true parts of {name}"), network, trap, 2)
        yield weighed(row, score, rival)
        if trap.name.startswith("arbitrary"):
            whole = score_mechanism(WholeNetwork(network), problem)
            yield weighed(Row(trap.name, f"network {name}", dict(row.cells)), score, whole)


def program() -> Iterator[Row]:
    source = PROGRAMS["sort"]()
    compiled = source.compile()
    network, x = compiled.network, source.data(TRIED, 2).inputs
    problem = mechanism_problem(gather(Question("mechanism", "outputs"), network, source.data(DATA, 1)))
    circuit = true_circuit(compiled)
    honest, trap = Row("true circuit of sort", ""), Row("every edge is relevant", "true circuit of sort")
    for row, explanation, masks in ((honest, circuit, circuit.masks), (trap, WholeNetwork(network), None)):
        done = try_weights(network, x, masks)
        row.cells["needless"] = (done.needless > MOST, f"{done.needless:.2f}")
        used(row, sets_of_mechanism(explanation, x))
    yield honest
    yield weighed(trap, *(score_mechanism(e, problem) for e in (WholeNetwork(network), circuit)))


def dictionary() -> Iterator[Row]:
    network, data = zoo.load("byte-lm"), zoo.data("byte-lm", 300, 1)
    sae = shipped_sae("byte-lm-sae-256")
    problem = site_problem(gather(Question("site", "activations", site=sae.site, delta=0.1), network, data))
    explained = [SAESite(each) for each in (sae, duplicated(sae))]
    honest, trap = Row("SAE of 256 features", ""), Row("a duplicated dictionary", "SAE of 256 features")
    for row, explanation in zip((honest, trap), explained, strict=True):
        used(row, sets_of_code(explanation.code(problem.x[:])))
    rival, score = (score_site(each, problem) for each in explained)
    yield honest
    yield weighed(trap, score, rival)


def mean_loss() -> Iterator[Row]:
    network, data = zoo.load("digits"), zoo.data("digits", 360, 1)
    assert data.labels is not None
    problem = mechanism_problem(gather(Question("mechanism", "outputs"), network, data))
    trap, whole = SwappedAnswers(network, data.inputs, data.labels), WholeNetwork(network)
    weights = {name: p[None] for name, p in network.parameters().items()}
    outputs = network(data.inputs)
    found = []
    for row, one in ((Row("network digits", ""), whole), (Row("perfect mean loss", "network digits"), trap)):
        told = one.predict(weights, data.inputs, torch.ones(1))
        done = sufficiency(network, outputs, told, torch.zeros_like(outputs), data.labels)
        recovered = f"{100 * (done.loss_recovered or 0):.0f} % {done.mean:.2f}"
        row.cells["enough"] = (not done.sufficient, f"{done.mean:.3f}")
        row.cells["loss"] = (done.fools_the_loss, recovered)
        found.append(row)
    yield found[0]
    yield weighed(found[1], *(score_mechanism(e, problem, 12) for e in (trap, whole)))


if __name__ == "__main__":
    main()
