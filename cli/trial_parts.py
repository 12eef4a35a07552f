"""``assay trial capacity``, ``parts`` and ``rewrite``: parts of weights, and of the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure
from .sheets import Sheet
from .trying import DATA, MODEL, OUT, REPORT, built, command, finish, loaded, network_of

if TYPE_CHECKING:
    from assay.explanations.trials.claims import Fill

FILLS: tuple[Fill, ...] = ("resample", "mean", "zero")


@command(
    "capacity",
    MODEL,
    click.option("--weight", required=True, help="Embedding [d, n]."),
    click.option(
        "--certificate",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write what proofs/check_capacity.py accepts.",
    ),
    OUT,
    REPORT,
)
def capacity(model: str, weight: str, certificate: Path | None, **rest: Any) -> None:
    """The share of a dimension that each column of a weight has, with its bound proved exactly."""
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
    figures = {name: float(value) for name, value in vars(done).items() if name != "tolerance"}
    rows = tuple((name, f"{value:.5g}") for name, value in figures.items())
    note = f"tolerance {done.tolerance:g} a datum; {'; '.join(done.caught()) or 'nothing against it'}"
    about = {"caught": done.caught()}
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
