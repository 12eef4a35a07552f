"""``assay trial scrub`` and ``masks``: units that are said to matter."""

from __future__ import annotations

from typing import Any

import click

from .sheets import Sheet
from .trying import CLAIM, DATA, MODEL, OUT, REPORT, SITE, claim_of, command, finish, loaded


@command(
    "scrub",
    MODEL,
    DATA,
    SITE,
    *CLAIM,
    click.option(
        "--compute-curve",
        type=click.Path(dir_okay=False),
        help="Read, too, how much training compute is recovered: CSV or JSON of compute and loss (nats).",
    ),
    OUT,
    REPORT,
)
def scrub(
    model: str, important: str, donor: str, joint: bool, compute_curve: str | None, **rest: Any
) -> None:
    """Replace what is said not to matter, and remove what is said to matter."""
    from assay.explanations import trials

    from .evidence import curve

    network, data = loaded(model, rest)
    claim = claim_of(network, data, rest["site"], important, donor, joint)
    done = trials.scrub(network, data.inputs, claim, data.labels, rest["seed"], curve(compute_curve))
    seen = trials.witnesses(network, data.inputs, claim, rest["seed"])
    needed = sum(w.needed for w in seen)
    rows = [(name, f"{value:.5g}") for name, value in done.readings().items()]
    rows.append(("units with a witness", f"{needed} of {len(seen)}"))
    verdict = "sufficient" if done.sufficient else "NOT sufficient"
    if done.fools_the_loss:
        verdict += ": the mean loss is recovered, the answers are not"
    kept, of = claim.sizes
    note = f"{kept} of {of} units said to matter; donor: {claim.rule}; divergence in {done.unit}: {verdict}"
    figures = {**done.readings(), "units_needed": needed, "units_claimed": len(seen)}
    witnesses = [vars(w) | {"needed": w.needed} for w in seen]
    about = {"donor": claim.rule, "unit": done.unit, "sufficient": done.sufficient, "witnesses": witnesses}
    finish(rest, network, "scrub", figures, about, Sheet("", ("reading", "value"), tuple(rows), note=note))


@command("masks", MODEL, DATA, SITE, *CLAIM, OUT, REPORT)
def masks(model: str, important: str, donor: str, joint: bool, **rest: Any) -> None:
    """Add unimportant units back: random masks in [0, 1], and the worst case by projected gradient."""
    from assay.explanations import trials

    network, data = loaded(model, rest)
    claim = claim_of(network, data, rest["site"], important, donor, joint)
    done = trials.masks(network, data.inputs, claim, rest["seed"])
    rows = tuple((name.replace("_", " "), f"{value:.5g}") for name, value in vars(done).items())
    note = f"donor: {claim.rule}; every superset does: {'yes' if done.holds else 'NO'}"
    about = {"donor": claim.rule, "holds": done.holds}
    finish(rest, network, "masks", vars(done), about, Sheet("", ("masks", "divergence"), rows, note=note))
