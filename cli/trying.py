"""What all trials of ``assay trial`` share: the group, their options, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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
    from torch import Tensor

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


def command(name: str, *options: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A trial of that name, with options and with those that all commands have."""

    def made(function: Callable[..., Any]) -> click.Command:
        found = trial.command(name, cls=Command)(display_options(running_options(function)))
        return all_of(options, found)

    return made


def network_of(model: str, rest: dict[str, Any]) -> Network:
    """The network of a command."""
    from .evidence import loaded_network

    found: Network = loaded_network(model, rest["device"], rest["dtype"])
    return found


def loaded(model: str, rest: dict[str, Any]) -> tuple[Network, Dataset]:
    """The network, and its data: 64 sequences or 512 samples unless --limit says otherwise."""
    from assay.models import load_dataset

    if not rest["data"] and not model.startswith(("zoo:", "program:")):
        raise click.UsageError("expected --data")
    network = network_of(model, rest)
    limit = rest["limit"] or (64 if network.input == "token" else 512)
    return network, load_dataset(rest["data"] or "zoo", network, limit, rest["seed"])


def claim_of(network: Network, data: Dataset, site: str, important: str, donor: Any, joint: bool) -> Claim:
    """What is claimed of the units of a site."""
    from assay.explanations.trials import Claim
    from assay.explanations.trials.claims import units_of

    return Claim({site: units_of(network, data.inputs, site, important)}, donor, joint)


def activations(network: Network, data: Dataset, site: str) -> Tensor:
    """What a network holds at a site: rows [data · positions, d]."""
    from assay.models import Behaviour

    found = Behaviour(network, data, site).activations
    assert found is not None
    return found.rows[:]


def built(text: str, network: Network, data: Dataset, rest: Mapping[str, Any], setting: Any = "site") -> Any:
    """The explanation that a user's text names; of one that can be told in several ways, the first."""
    from assay.explanations import build
    from assay.explanations.alternatives import Alternatives
    from assay.explanations.subject import Subject

    x = activations(network, data, rest["site"]) if setting == "site" else None
    outputs = network(data.inputs.to(network.device)).detach() if setting == "mechanism" else None
    made = build(text, Subject(setting, network, data, rest.get("site"), x, outputs, rest["seed"]))
    return made.ways[0] if isinstance(made, Alternatives) else made


def finish(
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
        put_into(rest["report"], name, figures)
        screen.line(f"wrote {rest['report']}")


def put_into(path: Path, name: str, figures: Mapping[str, Any]) -> None:
    """Put a trial's figures among a report's readings, as trial_NAME_…"""
    from assay.mdl.report import load_report

    report = load_report(path)
    added = {f"trial_{name}_{key}": float(value) for key, value in figures.items()}
    report.model_copy(update={"readings": {**report.readings, **added}}).save(path)
