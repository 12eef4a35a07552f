"""``assay trial all``: every trial of several networks, by default of the whole zoo."""

from __future__ import annotations

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click

from .display import Display
from .failures import Failure
from .sheets import Sheet
from .trying import command, loaded, put_into

SAMPLES, SEQUENCES = 128, 12
SHOWN = (
    "scrub_divergence",
    "scrub_joint_divergence",
    "masks_adversary",
    "units_needed",
    "sensitivity_isotropic",
    "sensitivity_to_real_other",
    "control_everything",
    "control_untrained",
)


@command(
    "all",
    click.argument("models", nargs=-1),
    click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="At a time."),
    click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here."),
    click.option(
        "--report",
        "reports",
        multiple=True,
        type=click.Path(dir_okay=False, exists=True, path_type=Path),
        help="Put the figures of a model among the readings of its report; may be repeated.",
    ),
)
def everything(
    models: tuple[str, ...], processes: int, out: Path | None, reports: tuple[Path, ...], **rest: Any
) -> None:
    """Try every network of the zoo, or those that are named: each at the middle one of its sites.

    The claim: the upper half of its units by attribution matters. Controls stand beside: everything important
    (divergence 0), and fresh weights (directions nearly alike, 1).
    """
    from assay.mdl.report import load_report, write_whole
    from assay.models import zoo

    start, names = time.monotonic(), models or tuple(f"zoo:{name}" for name in zoo.names())
    screen = Display(rest["display"], rest["as_json"])
    found = _tried(names, processes, rest)
    known = {figures.pop("model"): figures for figures in found}
    for path in reports:
        about = load_report(path).scope.model
        if about not in known:
            raise Failure(f"--report {path} is about {about}, which was not tried")
        put_into(path, "all", {k: v for k, v in known[about].items() if k not in ("site", "error")})
    document = {"schema": "assay.trials/1", "models": known}
    screen.document(document)
    if out is not None:
        write_whole(out, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    rows = [_row(name, figures) for name, figures in known.items()]
    heads = (name.replace("_", " ") for name in SHOWN)
    many = "1 network" if len(rows) == 1 else f"{len(rows)} networks"
    note = f"{many} in {time.monotonic() - start:.0f} s; divergence in bits, or of variance"
    screen.sheet(Sheet("", ("network", "site", *heads), tuple(rows), note=note, text=(0, 1)))


def _row(name: str, figures: dict[str, Any]) -> tuple[str, ...]:
    if "error" in figures:
        return (name, figures["error"], *("–" for _ in SHOWN))
    return (name, figures["site"], *(f"{figures[key]:.4g}" for key in SHOWN))


def _tried(names: tuple[str, ...], processes: int, rest: dict[str, Any]) -> list[dict[str, Any]]:
    if processes == 1 or len(names) == 1:
        return [_one(name, rest) for name in names]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        return list(pool.map(_one, names, [rest] * len(names)))


def _one(name: str, rest: dict[str, Any]) -> dict[str, Any]:
    """All trials of one network; what cannot be tried is said, not left out."""
    import torch
    from assay.explanations.errors import ExplanationError
    from assay.explanations.trials.everything import all_trials, usual_site

    torch.set_num_threads(1)
    network, _ = loaded(name, {**rest, "data": None, "limit": 2})
    limit = rest["limit"] or (SEQUENCES if network.input == "token" else SAMPLES)
    _, data = loaded(name, {**rest, "data": None, "limit": limit})
    site = usual_site(network)
    try:
        return {"model": network.name, "site": site, **all_trials(network, data, site, rest["seed"])}
    except ExplanationError as error:
        return {"model": network.name, "site": site, "error": str(error)}
