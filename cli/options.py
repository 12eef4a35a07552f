"""Options that several commands share, and the kinds of values they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from .config import read_config

F = TypeVar("F", bound=Callable[..., Any])
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def count_or_auto(value: str) -> int | Literal["auto"]:
    """Read a whole number of at least one, or ``auto``."""
    if value == "auto":
        return "auto"
    if not str(value).isdecimal() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither auto nor a whole number of at least 1")
    return int(value)


def duration(value: str) -> float:
    """Read a number with ms, s, m or h as seconds; seconds if it is bare."""
    found = re.fullmatch(r"(\d{1,7}(?:\.\d{1,9})?)\s*(ms|s|m|h|)", str(value))
    if not found or float(found[1]) == 0:
        raise click.BadParameter(f"{value!r} is no time; expected for instance 60s, 5m or 1h")
    return float(found[1]) * SECONDS[found[2]]


def memory_size(value: str) -> int:
    """Read a number with K, M, G or T (powers of 1024) as bytes; bytes if it is bare."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?", str(value), re.IGNORECASE)
    if not found or float(found[1]) == 0:
        raise click.BadParameter(f"{value!r} is no size; expected for instance 512M or 4G")
    return int(float(found[1]) * UNITS[found[2].upper()])


def subject_options(command: F) -> F:
    """Add what is explained: ``MODEL``, ``--data``, ``--activations``, ``--site``, and the grids."""
    options = (
        click.argument("model", required=False),
        click.option(
            "--data",
            help="zoo, a file of arrays or a table, a text, or a run; zoo:NAME and runs bring their own.",
        ),
        click.option(
            "--activations",
            type=click.Path(),
            help="Take these cached activations, instead of MODEL and --data.",
        ),
        click.option("--site", help="Hook point, for instance blocks.1.hook_resid_post."),
        click.option("--delta", type=float, help="Step of the grid on which the target is told."),
        click.option(
            "--part-bits",
            type=count_or_auto,
            metavar="B|auto",
            default="auto",
            show_default=True,
            help="Bits of each number of a part; auto takes the shortest total.",
        ),
    )
    return all_of(options, command)


setting_option = click.option(
    "--setting",
    type=click.Choice(["site", "mechanism"]),
    default="site",
    show_default=True,
    help="Explain the activations at a site, or how inputs become outputs.",
)


def setting_options(command: F) -> F:
    """Add ``--setting`` and ``--target``."""
    options = (
        setting_option,
        click.option(
            "--target",
            type=click.Choice(["activations", "outputs", "answers"]),
            help="What the receiver restores; by default activations at a site, outputs of a mechanism. "
            "Answers are a classifier's most probable outcomes.",
        ),
    )
    return all_of(options, command)


def explain_option(command: F) -> F:
    """Add ``--explain``, which may be repeated."""
    option = click.option(
        "--explain",
        multiple=True,
        required=True,
        metavar="KIND[:PATH][,key=value…]",
        help="An explanation; may be repeated. Kinds: neurons, pca, rotation, sae, transcoder, polytopes, "
        "lookup, network, answers, circuit, components, rule, student, and those of plug-ins.",
    )
    return option(command)


def display_options(command: F) -> F:
    """Add ``--display``, ``--json``, ``--debug`` and ``--config``."""
    options = (
        click.option(
            "--display",
            type=click.Choice(["auto", "rich", "plain"]),
            default="auto",
            show_default=True,
            envvar="ASSAY_DISPLAY",
            help="Colours and progress bars, or plain aligned text; auto looks at the terminal.",
        ),
        click.option(
            "--json", "as_json", is_flag=True, envvar="ASSAY_JSON", help="Print JSON instead of tables."
        ),
        click.option(
            "--config",
            type=click.Path(dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=read_config,
            envvar="ASSAY_CONFIG",
            help="Read options from a TOML or YAML file, under the same names.",
        ),
        click.option("--debug", is_flag=True, envvar="ASSAY_DEBUG", help="Show tracebacks of errors."),
    )
    return all_of(options, command)


def running_options(command: F) -> F:
    """Add the options that say how a network is run."""
    options = (
        click.option(
            "--device",
            default="auto",
            show_default=True,
            envvar="ASSAY_DEVICE",
            help="auto, cpu or cuda[:i].",
        ),
        click.option(
            "--dtype",
            type=click.Choice(["float32", "float64", "bfloat16", "float16"]),
            envvar="ASSAY_DTYPE",
            help="Run the network in this type; by default as it is stored.",
        ),
        click.option(
            "--batch-size",
            type=count_or_auto,
            metavar="N|auto",
            default="auto",
            show_default=True,
            envvar="ASSAY_BATCH_SIZE",
            help="Data at a time; auto halves it when memory runs out. The score does not depend on it.",
        ),
        click.option("--limit", type=click.IntRange(1), envvar="ASSAY_LIMIT", help="Use so many data."),
        click.option("--seed", type=int, default=0, show_default=True, envvar="ASSAY_SEED", help="Seed."),
    )
    return all_of(options, command)


def all_of(options: tuple[Callable[[F], F], ...], command: F) -> F:
    """Add several options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command
