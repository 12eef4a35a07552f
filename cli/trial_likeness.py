"""``assay trial recovery``, ``likeness``, ``edges``, ``areas``: against a truth, or another explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .failures import Failure
from .sheets import Sheet
from .trying import DATA, MODEL, OUT, REPORT, SITE, activations, built, command, finish, loaded, network_of

MOST_ROWS = 512


@command(
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

    network = network_of(model, rest)
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
    finish(rest, network, "recovery", figures, {}, Sheet("", ("reading", "value"), rows))


@command(
    "likeness",
    MODEL,
    DATA,
    SITE,
    click.option("--explain", multiple=True, required=True, metavar="KIND[:PATH]…", help="Two of them."),
    OUT,
    REPORT,
)
def likeness(model: str, explain: tuple[str, ...], **rest: Any) -> None:
    """Compare the codes of two explanations of a site: CKA, RSA, and the geometry of routers."""
    from assay.explanations import trials
    from torch import arange

    if len(explain) != 2:
        raise Failure(f"--explain: two explanations are compared, got {len(explain)}")
    network, data = loaded(model, rest)
    made = [built(text, network, data, rest) for text in explain]
    x = activations(network, data, rest["site"])[:MOST_ROWS]
    first, second = (trials.dense_code(one, x) for one in made)
    figures = {"cka": trials.cka(first, second)}
    if (rank := trials.rsa(first, second)) is not None:
        figures["rsa"] = rank
    for number, one in enumerate(made, 1):
        router = getattr(getattr(one, "sae", None), "router", None)
        if router is not None:
            features = len(one.sae.W_dec)
            expert = arange(features) // (features // router.experts)
            geometry = trials.router_geometry(router.W.T, one.sae.W_dec, expert)
            figures |= {f"router_own_{number}": geometry.own, f"router_other_{number}": geometry.other}
    rows = tuple((name.replace("_", " "), f"{value:.4f}") for name, value in figures.items())
    note = (
        f"{made[0].name} and {made[1].name} on {len(x)} rows; 1 where they differ by a rotation and a scale"
    )
    finish(rest, network, "likeness", figures, {}, Sheet("", ("reading", "value"), rows, note=note))


@command(
    "edges",
    MODEL,
    DATA,
    click.option(
        "--truth", required=True, metavar="KIND[:PATH]…", help="The true circuit: circuit,from=truth."
    ),
    click.option("--explain", required=True, metavar="KIND[:PATH]…", help="The circuit that was found."),
    OUT,
    REPORT,
)
def edges(model: str, truth: str, explain: str, **rest: Any) -> None:
    """Compare a circuit's edges with the true ones: precision, recall, and AUROC where a file scores them."""
    from assay.explanations import trials

    network, data = loaded(model, rest)
    true, found = (built(text, network, data, rest, "mechanism") for text in (truth, explain))
    done = trials.same_edges(true, found, scores_in(explain, network))
    figures = {name: value for name, value in vars(done).items() if value is not None}
    rows = tuple((name, f"{value:.4f}") for name, value in figures.items())
    finish(rest, network, "edges", figures, {}, Sheet("", ("reading", "value"), rows))


def scores_in(spec: str, network: Any) -> Any:
    """The scores of edges in the file that an explanation names; None where there are none."""
    from assay.explanations.circuits import read_circuits
    from assay.explanations.specs import Spec

    path = Spec.parse(spec).path
    return None if path is None else read_circuits(Path(path), network)[0].scores


@command(
    "areas",
    MODEL,
    DATA,
    click.option("--circuit", required=True, type=click.Path(), help="A file with a score for every edge."),
    OUT,
    REPORT,
)
def areas(model: str, circuit: str, **rest: Any) -> None:
    """MIB's areas CPR and CMD, with what the whole model at the end gives for free."""
    from assay.explanations import trials
    from assay.explanations.circuits import read_circuit
    from assay.explanations.trials.recovery import MIB_SIZES

    network, data = loaded(model, rest)
    curve = trials.faithfulness(network, read_circuit(Path(circuit), network), data.inputs)
    done = trials.areas(curve)
    rows = [(f"{100 * size:g} % of edges", f"{f:.4f}") for size, f in zip(MIB_SIZES, curve, strict=True)]
    rows += [
        (name.upper() if name != "trivial" else "CPR for free", f"{v:.4f}") for name, v in vars(done).items()
    ]
    note = "Faithfulness: 1 − divergence / divergence without edges."
    sheet = Sheet("", ("edges", "faithfulness"), tuple(rows), note=note)
    finish(rest, network, "areas", vars(done), {"faithfulness": curve}, sheet)
