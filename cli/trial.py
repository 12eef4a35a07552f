"""``assay trial``: is what an explanation says true of the network?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .failures import Command, Failure
from .options import all_of, display_options, running_options
from .sheets import Sheet

if TYPE_CHECKING:
    from assay.explanations.trials import Claim
    from assay.models import Dataset, Network

MODEL = click.argument("model")
DATA = click.option("--data", help="zoo, a file of arrays or a table, or a text; zoo:NAME brings its own.")
SITE = click.option("--site", required=True, help="Hook point whose units the claim is about.")
OUT = click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here.")
REPORT = click.option(
    "--report",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Put the figures among the readings of this report of the same model, as trial_…",
)
CLAIM = (
    click.option(
        "--important",
        default="top:0.5",
        show_default=True,
        help="Units that are said to matter: their numbers (0,3,7), all, none, or top:SHARE by attribution.",
    ),
    click.option(
        "--donor",
        type=click.Choice(["resample", "mean", "zero"]),
        default="resample",
        show_default=True,
        help="What replaces the other units.",
    ),
    click.option(
        "--joint/--independent",
        default=False,
        show_default=True,
        help="One donor for all units, or one for each. The verdict may flip: it is part of the claim.",
    ),
)


@click.group()
def trial() -> None:
    """Try an explanation: interventions, sensitive directions, capacity, recovery."""


def _command(name: str, *options: Any) -> Callable[[Callable[..., Any]], click.Command]:
    def made(function: Callable[..., Any]) -> click.Command:
        command = trial.command(name, cls=Command)(display_options(running_options(function)))
        return all_of(options, command)

    return made


@_command(
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

    network, data = _loaded(model, rest)
    claim = _claim(network, data, rest["site"], important, donor, joint)
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
    _finish(rest, network, "scrub", figures, about, Sheet("", ("reading", "value"), tuple(rows), note=note))


@_command("masks", MODEL, DATA, SITE, *CLAIM, OUT, REPORT)
def masks(model: str, important: str, donor: str, joint: bool, **rest: Any) -> None:
    """Add unimportant units back: random masks in [0, 1], and the worst case by projected gradient."""
    from assay.explanations import trials

    network, data = _loaded(model, rest)
    claim = _claim(network, data, rest["site"], important, donor, joint)
    done = trials.masks(network, data.inputs, claim, rest["seed"])
    rows = tuple((name.replace("_", " "), f"{value:.5g}") for name, value in vars(done).items())
    note = f"donor: {claim.rule}; every superset does: {'yes' if done.holds else 'NO'}"
    about = {"donor": claim.rule, "holds": done.holds}
    _finish(rest, network, "masks", vars(done), about, Sheet("", ("masks", "divergence"), rows, note=note))


@_command(
    "sensitivity",
    MODEL,
    DATA,
    SITE,
    click.option("--later", multiple=True, help="A later site, where growth in L2 is measured."),
    click.option("--length", type=float, default=0.3, show_default=True, help="In units of R."),
    click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a chart (HTML)."),
    OUT,
    REPORT,
)
def sensitivity(model: str, later: tuple[str, ...], length: float, plot: Path | None, **rest: Any) -> None:
    """Move activations along five kinds of directions; a network with fresh weights is the control."""
    from assay.explanations import trials
    from assay.explanations.trials.sensitivity import plot as write_plot

    network, data = _loaded(model, rest)
    if not 0 < length < float("inf"):
        raise Failure(f"--length {length}: expected a positive number")
    lengths = tuple(sorted({0.1, 0.2, length, 0.5, 1.0}))
    found = trials.respond(
        network, data.inputs, rest["site"], lengths=lengths, later=later, seed=rest["seed"]
    )
    twin = trials.untrained_twin(network, rest["seed"])
    control = {
        r.name: r.mean(length) for r in trials.respond(twin, data.inputs, rest["site"], lengths=lengths)
    }
    rows, figures = [], {}
    for one, score in zip(found, trials.scores(found, length), strict=True):
        at = lengths.index(length)
        growth = [f"{float(one.amplification[s][at].mean()):.3f}" for s in later]
        cells = (f"{one.mean(length):.4g}", f"{score.ratio:.3f} [{score.low:.3f}, {score.high:.3f}]")
        rows.append((one.name, *cells, f"{control[one.name]:.4g}", *growth))
        figures[one.name.replace(" ", "_")] = one.mean(length)
    columns = ("direction", f"divergence at {length:g} R", "over covariance mix", "untrained", *later)
    if plot is not None:
        write_plot(found, f"{network.name}, {rest['site']}", plot)
    about = {"length": length, "untrained": control}
    note = "Divergence: KL in bits, or the share of the outputs' variance. Untrained: to be alike for all."
    _finish(rest, network, "sensitivity", figures, about, Sheet("", columns, tuple(rows), note=note))


@_command("capacity", MODEL, click.option("--weight", required=True, help="Embedding [d, n]."), OUT, REPORT)
def capacity(model: str, weight: str, **rest: Any) -> None:
    """The share of a dimension that each column of a weight has, with its bound proved exactly."""
    from assay.explanations import trials

    network = _network(model, rest)
    own = network.parameters()
    if weight not in own or own[weight].ndim != 2:
        known = ", ".join(n for n, p in own.items() if p.ndim == 2)
        raise Failure(f"--weight {weight}: {network.name} has no such matrix; it has {known or 'none'}")
    bound = trials.exact_bound(own[weight])
    pairs = list(zip(bound.capacities, bound.leverages, strict=True))
    rows = tuple((str(i), f"{float(c):.5f}", f"{float(h):.5f}") for i, (c, h) in enumerate(pairs))
    total = float(sum(bound.capacities))
    told = "proved in exact arithmetic" if bound.proved else "NOT proved"
    note = f"sum {total:.5f} <= rank {bound.rank}: {told}"
    figures = {"sum": total, "rank": float(bound.rank)}
    about = {"capacities": [float(c) for c, _ in pairs], "proved": bound.proved}
    _finish(
        rest, network, "capacity", figures, about, Sheet("", ("column", "C", "leverage"), rows, note=note)
    )


@_command(
    "recovery",
    MODEL,
    click.option("--weight", required=True, help="Its columns are the true directions [d, n]."),
    click.option("--directions", required=True, type=click.Path(), help="Found directions [K, d]."),
    OUT,
    REPORT,
)
def recovery(model: str, weight: str, directions: str, **rest: Any) -> None:
    """How near found directions come to the true ones: corrected for chance, and matched one-to-one."""
    from assay.explanations.matching import chance_mmcs, corrected_mmcs, match, mmcs
    from assay.models import read_arrays

    network = _network(model, rest)
    own = network.parameters()
    if weight not in own or own[weight].ndim != 2:
        raise Failure(f"--weight {weight}: {network.name} has no such matrix")
    found = read_arrays(Path(directions))
    rows_found, truth = next(iter(found.values())), own[weight].T.cpu()
    paired = match(truth, rows_found)
    figures = {
        "mmcs": mmcs(truth, rows_found),
        "chance": chance_mmcs(truth.shape[1], len(rows_found)),
        "corrected_mmcs": corrected_mmcs(truth, rows_found),
        "matched_cosine": float(paired.cosine.mean()),
        "l2_ratio": float(paired.ratio.mean()),
    }
    rows = tuple((name.replace("_", " "), f"{value:.4f}") for name, value in figures.items())
    _finish(rest, network, "recovery", figures, {}, Sheet("", ("reading", "value"), rows))


def _network(model: str, rest: dict[str, Any]) -> Network:
    from .evidence import loaded_network

    found: Network = loaded_network(model, rest["device"], rest["dtype"])
    return found


def _loaded(model: str, rest: dict[str, Any]) -> tuple[Network, Dataset]:
    from assay.models import load_dataset

    if not rest["data"] and not model.startswith(("zoo:", "program:")):
        raise click.UsageError("expected --data")
    network = _network(model, rest)
    limit = rest["limit"] or (64 if network.input == "token" else 512)
    return network, load_dataset(rest["data"] or "zoo", network, limit, rest["seed"])


def _claim(network: Network, data: Dataset, site: str, important: str, donor: Any, joint: bool) -> Claim:
    from assay.explanations.trials import Claim
    from assay.explanations.trials.claims import units_of

    return Claim({site: units_of(network, data.inputs, site, important)}, donor, joint)


def _finish(
    rest: dict[str, Any],
    network: Network,
    name: str,
    figures: dict[str, Any],
    about: dict[str, Any],
    sheet: Sheet,
) -> None:
    """Print, and write where asked; a report must be about the same network."""
    from assay.mdl.report import load_report, write_whole

    screen = Display(rest["display"], rest["as_json"])
    document = {"schema": "assay.trial/1", "trial": name, "model": network.name, "figures": figures, **about}
    screen.document(document)
    screen.sheet(sheet)
    if rest["out"] is not None:
        write_whole(rest["out"], json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if rest["report"] is not None:
        report = load_report(rest["report"])
        if report.scope.model != network.name:
            raise Failure(f"--report {rest['report']} is about {report.scope.model}, not {network.name}")
        added = {f"trial_{name}_{key}": float(value) for key, value in figures.items()}
        report.model_copy(update={"readings": {**report.readings, **added}}).save(rest["report"])
        screen.line(f"wrote {rest['report']}")
