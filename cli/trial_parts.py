"""``assay trial capacity``, ``parts`` and ``rewrite``: parts of weights, and of the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure
from .sheets import Sheet
from .trying import DATA, MODEL, OUT, REPORT, activations, built, command, finish, loaded, network_of

if TYPE_CHECKING:
    from assay.explanations.trials.claims import Fill

FILLS: tuple[Fill, ...] = ("resample", "mean", "zero")
MOST_SHOWN = 48


@command(
    "capacity",
    MODEL,
    DATA,
    click.option("--weight", help="Embedding [d, n]: the share of a dimension that each column has."),
    click.option(
        "--explain",
        metavar="KIND[:PATH]…",
        help="An explanation: the share of its message that each part has, for any architecture.",
    ),
    click.option("--site", help="Of --explain: it is one of activations here, not of the mechanism."),
    click.option("--delta", type=float, help="Of --explain: the grid's step; by default 1/16 of the spread."),
    click.option(
        "--certificate",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Of --weight: write what proofs/check_capacity.py accepts.",
    ),
    OUT,
    REPORT,
)
def capacity(model: str, weight: str | None, explain: str | None, **rest: Any) -> None:
    """The share of a dimension that each column of a weight has, with its bound proved exactly.

    Or, where no weight is an embedding, the share of an explanation's message that each part has.
    """
    if (weight is None) == (explain is None):
        raise click.UsageError("expected --weight or --explain, and not both")
    if weight is not None:
        return of_weight(model, weight, **rest)
    assert explain is not None
    if rest["site"] is None:
        of_mechanism(model, explain, **rest)
    else:
        of_site(model, explain, **rest)


def of_weight(model: str, weight: str, certificate: Path | None, **rest: Any) -> None:
    """C_i of the columns of a weight."""
    from assay.mdl.report import write_whole
    from assay.proofs.capacity import CapacityError, capacity_bound
    from assay.proofs.check_capacity import check

    network = network_of(model, rest)
    own = network.parameters()
    if weight not in own or own[weight].ndim != 2:
        known = ", ".join(n for n, p in own.items() if p.ndim == 2)
        raise Failure(f"--weight {weight}: {network.name} has no such matrix; it has {known or 'none'}")
    try:
        bound = capacity_bound(own[weight].detach().double().tolist())
    except CapacityError as error:
        raise Failure(f"--weight {weight}: {error}") from error
    total, rank = check(bound.certificate)
    if certificate is not None:
        write_whole(certificate, json.dumps(bound.certificate) + "\n")
    pairs = list(zip(bound.capacities, bound.leverages, strict=True))
    rows = tuple((str(i), f"{float(c):.5f}", f"{float(h):.5f}") for i, (c, h) in enumerate(pairs))
    note = f"sum {float(total):.5f} <= rank {rank}: proved in exact arithmetic, and checked"
    figures = {"sum": float(total), "rank": float(rank)}
    about = {"capacities": [float(c) for c, _ in pairs], "proved": True}
    sheet = Sheet("", ("column", "C", "leverage"), rows, note=note)
    finish(rest, network, "capacity", figures, about, sheet)


def of_mechanism(model: str, explain: str, **rest: Any) -> None:
    """Shares of the message about outputs: of each part, and of each tensor where there is one part."""
    from assay.explanations import Question, gather, trials
    from assay.explanations.weighing import mechanism_problem
    from assay.mdl import score_mechanism

    network, data = loaded(model, rest)
    made = built(explain, network, data, rest, "mechanism")
    delta = rest["delta"]
    if delta is None and network.output == "regression":
        delta = float(network(data.inputs.to(network.device)).std()) / 16
    problem = mechanism_problem(gather(Question("mechanism", "outputs", delta=delta), network, data))
    score = score_mechanism(made, problem)
    done = trials.message_shares(score, [t.name for t in made.parts().tensors])
    shares, used = done.parts.tolist(), score.law.usage.tolist()
    figures = {"parts": 1 - done.common, "common": done.common, "bits": score.ledger.total}
    about = {"shares": shares, "tensors": done.tensors, "used": used}
    if len(shares) > 1:
        head, left, more = "part", done.common, ["data that use it"]
        listed: list[Any] = [(str(c), share, str(used[c])) for c, share in enumerate(shares)]
    else:
        head, left, more = "tensor", 1 - sum(done.tensors.values()), []
        listed = list(done.tensors.items())
    note = f"{made.name}: {score.ledger.total:,.0f} bits; {100 * left:.1f} % are no {head}'s (correction, …)"
    sheet = _shares(head, more, listed, note)
    finish(rest, network, "capacity", figures, about, sheet)


def of_site(model: str, explain: str, **rest: Any) -> None:
    """Shares of the code of activations at a site."""
    from assay.explanations import trials
    from assay.explanations.anomalies import Observations, SiteBits, usual_delta

    network, data = loaded(model, rest)
    made = built(explain, network, data, rest)
    seen = Observations(activations(network, data, rest["site"]))
    fitted = SiteBits.fit(made, seen, rest["delta"] or usual_delta(seen))
    shares = trials.bit_shares(fitted, seen).tolist()
    figures = {"bits": fitted.trusted_bits, "largest": max(shares)}
    note = f"{made.name}: shares of what parts take of {fitted.trusted_bits:,.0f} bits"
    if not any(shares):
        note += f"; on {seen.size} rows no part is worth its bits: more data (--limit), or a finer --delta"
    sheet = _shares("part", [], [(str(c), share) for c, share in enumerate(shares)], note)
    finish(rest, network, "capacity", figures, {"shares": shares}, sheet)


def _shares(head: str, more: list[str], listed: list[tuple[Any, ...]], note: str) -> Sheet:
    """The largest shares first; the rest is in the JSON."""
    largest = sorted(listed, key=lambda row: -row[1])[:MOST_SHOWN]
    rows = tuple((name, f"{100 * share:.2f} %", *others) for name, share, *others in largest)
    hidden = len(listed) - len(largest)
    return Sheet("", (head, "share of bits", *more), rows, note=note + (f"; {hidden} more" if hidden else ""))


@command(
    "parts",
    MODEL,
    DATA,
    click.option("--explain", required=True, metavar="KIND[:PATH]…", help="Components, as score takes them."),
    OUT,
    REPORT,
)
def parts(model: str, explain: str, **rest: Any) -> None:
    """Switch parts off and on: are those called active enough, are they needed, does a pair cancel?"""
    from assay.explanations import Components, trials

    network, data = loaded(model, rest)
    made = built(explain, network, data, rest, "mechanism")
    if not isinstance(made, Components):
        raise Failure(f"--explain {explain}: expected components, got {made.kind}")
    done = trials.try_parts(made, data.inputs, seed=rest["seed"])
    used = trials.try_usage(trials.sets_of_mechanism(made, data.inputs.to(network.device)))
    figures = {name: float(value) for name, value in vars(done).items() if name != "tolerance"}
    figures |= vars(used)
    caught = [*done.caught(), *used.caught()]
    rows = tuple((name, f"{value:.5g}") for name, value in figures.items())
    note = f"tolerance {done.tolerance:g} a datum; {'; '.join(caught) or 'nothing against it'}"
    about = {"caught": caught}
    finish(rest, network, "parts", figures, about, Sheet("", ("reading", "value"), rows, note=note))


@command(
    "rewrite",
    MODEL,
    DATA,
    click.option("--with", "f", required=True, metavar="MODEL", help="f: a network with the same outputs."),
    OUT,
    REPORT,
)
def rewrite(model: str, f: str, **rest: Any) -> None:
    """Write M as f + (M − f), equal to the last bit, and resample the rest: does it matter?"""
    import torch
    from assay.explanations import trials

    network, data = loaded(model, rest)
    made = trials.rewrite(network, network_of(f, rest), data.inputs)
    width = network(data.inputs[:1].to(network.device)).shape[-1]
    figures: dict[str, float] = {}
    for fill in FILLS:
        claim = trials.Claim({"residual": torch.zeros(width, dtype=torch.bool)}, fill)
        done = trials.scrub(made, data.inputs, claim, data.labels, rest["seed"])
        figures |= {f"{fill}_{name}": value for name, value in done.readings().items()}
    rows = tuple((name.replace("_", " "), f"{value:.5g}") for name, value in figures.items())
    note = (
        f"{made.name}: equal on all {len(data.inputs)} inputs; the rest replaced by a donor's, mean or zero"
    )
    finish(rest, network, "rewrite", figures, {}, Sheet("", ("rest replaced", "value"), rows, note=note))
