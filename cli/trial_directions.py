"""``assay trial sensitivity`` and ``project``: directions at a site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .failures import Failure
from .sheets import Sheet
from .trying import DATA, MODEL, OUT, REPORT, SITE, activations, built, command, finish, loaded

if TYPE_CHECKING:
    from assay.models import Dataset, Network
    from torch import Tensor


@command(
    "sensitivity",
    MODEL,
    DATA,
    SITE,
    click.option("--later", multiple=True, help="A later site, where growth in L2 is measured."),
    click.option(
        "--base",
        type=click.Choice(["real", "covariance-random"]),
        default="real",
        show_default=True,
        help="What is moved: real activations, or Gaussian draws with their mean and covariance.",
    ),
    click.option(
        "--explain",
        multiple=True,
        metavar="KIND[:PATH]…",
        help="Move along the rows of an explanation of the site as well, and by its reconstruction's error.",
    ),
    click.option("--directions", type=click.Path(), help="Move along these directions [k, d] as well."),
    click.option("--length", type=float, default=0.3, show_default=True, help="In units of R."),
    click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write a chart (HTML)."),
    OUT,
    REPORT,
)
def sensitivity(
    model: str, later: tuple[str, ...], base: Any, length: float, plot: Path | None, **rest: Any
) -> None:
    """Move activations along five kinds of directions; a network with fresh weights is the control."""
    from assay.explanations import trials
    from assay.explanations.trials.sensitivity import plot as write_plot

    network, data = loaded(model, rest)
    if not 0 < length < float("inf"):
        raise Failure(f"--length {length}: expected a positive number")
    lengths = tuple(sorted({0.1, 0.2, length, 0.5, 1.0}))
    moves = trials.BASELINES | own_moves(network, data, rest)
    found = trials.respond(
        network, data.inputs, rest["site"], moves, lengths, later, seed=rest["seed"], base=base
    )
    twin = trials.untrained_twin(network, rest["seed"])
    control = {
        r.name: r.mean(length)
        for r in trials.respond(twin, data.inputs, rest["site"], moves, lengths, base=base)
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
    about = {"length": length, "base": base, "untrained": control}
    note = "Divergence: KL in bits, or the share of the outputs' variance. Untrained: to be alike for all."
    finish(rest, network, "sensitivity", figures, about, Sheet("", columns, tuple(rows), note=note))


def own_moves(network: Network, data: Dataset, rest: dict[str, Any]) -> dict[str, Any]:
    """Along the rows of explanations (and their error), and along directions from a file."""
    import torch
    from assay.explanations import trials

    found: dict[str, Any] = {}
    for text in rest["explain"]:
        made, x = built(text, network, data, rest), activations(network, data, rest["site"])
        told = made.dictionary()
        rows = (torch.eye(told.width) if told.rows is None else told.rows).detach().cpu().double()
        restored = trials.dense_code(made, x) @ rows + told.bias.double().cpu()
        found[f"along {made.name}"] = trials.along(rows.float())
        found[f"error of {made.name}"] = trials.error_of(restored.float())
    if rest["directions"] is not None:
        found["along directions"] = trials.along(directions_in(rest["directions"]))
    return found


def directions_in(path: str) -> Tensor:
    """Directions [k, d] from a file of arrays."""
    from assay.models import read_arrays

    found = next(iter(read_arrays(Path(path)).values())).float()
    if found.ndim != 2:
        raise Failure(f"{path}: directions of shape {tuple(found.shape)}, expected [k, d]")
    return found


@command(
    "project",
    MODEL,
    DATA,
    SITE,
    click.option("--directions", required=True, type=click.Path(), help="Directions [k, d] to remove."),
    click.option(
        "--final", help="A later site: remove them there alone, from the direct path to the output."
    ),
    OUT,
    REPORT,
)
def project(model: str, directions: str, final: str | None, **rest: Any) -> None:
    """Project directions out at a site, and as many random ones as the control."""
    from assay.explanations import trials

    network, data = loaded(model, rest)
    done = trials.project_out(
        network, data.inputs, rest["site"], directions_in(directions), final, seed=rest["seed"]
    )
    figures = {"divergence": done.divergence, "random": done.random}
    rows = tuple((name, f"{value:.5g}") for name, value in figures.items())
    note = f"path: {done.path}; random: the mean over as many random directions"
    sheet = Sheet("", ("removed", "divergence"), rows, note=note)
    finish(rest, network, "project", figures, {"path": done.path}, sheet)
