"""``assay zoo``: the shipped networks and explanations."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from .display import Display
from .failures import Command
from .options import display_options
from .sheets import Sheet


@click.group()
def zoo() -> None:
    """The shipped small models, really trained, each with the recipe that makes it again."""


@zoo.command("list", cls=Command)
@display_options
def listing(display: str, as_json: bool, debug: bool) -> None:
    """List the networks with their figures on held-out data, and the explanations that ship with them."""
    from assay.explanations import shipped
    from assay.models import zoo as networks

    screen = Display(display, as_json)
    cards = [networks.card(name) for name in networks.names()]
    screen.document({"networks": cards, "explanations": shipped.names()})
    rows = tuple(
        (card["name"], f"{card['parameters']:,}", figures(card["figures"]), card["about"]) for card in cards
    )
    screen.sheet(Sheet("", ("network", "parameters", "held-out figures", "about"), rows, text=(0, 2, 3)))
    screen.line(f"\nexplanations: {', '.join(shipped.names())}")


@zoo.command("train", cls=Command)
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("assay-zoo"),
    show_default=True,
    help="Folder to write into.",
)
@click.option("--seed", type=int, help="Another seed than that of the shipped weights (networks only).")
@display_options
def train(name: str, out: Path, seed: int | None, display: str, as_json: bool, debug: bool) -> None:
    """Train a network, or a shipped explanation, again by its recipe."""
    from assay.explanations import shipped
    from assay.models import zoo as networks

    screen = Display(display, as_json)
    start = time.monotonic()
    with screen.progress("steps") as progress:
        step = None if progress is None else lambda done, total, _: progress(name, done, total)
        if name in shipped.names():
            if seed is not None:
                raise click.UsageError("--seed is for networks; explanations train from their recipe's seed")
            out.mkdir(parents=True, exist_ok=True)
            shipped.train(name, step, out)
            path = next(path for path in (out / name, out / f"{name}.safetensors") if path.exists())
        else:
            network = networks.train(name, seed, step)
            path = networks.export(name, out, network, seed, time.monotonic() - start)
    screen.document({"name": name, "path": str(path), "seconds": time.monotonic() - start})
    screen.line(f"wrote {path}")


@zoo.command("export", cls=Command)
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder to write into; by default this one.",
)
@display_options
def export(name: str, out: Path, display: str, as_json: bool, debug: bool) -> None:
    """Write a shipped network's weights and card into a folder."""
    from assay.models import zoo as networks

    networks.entry(name)
    screen = Display(display, as_json)
    path = networks.export(name, out)
    screen.document({"name": name, "path": str(path)})
    screen.line(f"wrote {path} and {path.with_suffix('.json')}")


def figures(measured: dict[str, Any]) -> str:
    """A card's figures in a line."""
    return ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in measured.items())
