"""``assay anomalies``: how strange every datum is under what was fitted to trusted data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .failures import Command
from .options import all_of, display_options, running_options
from .sheets import Sheet

if TYPE_CHECKING:
    from assay.explanations.anomalies import Detection, Detector, Observations
    from assay.models import Network

OPTIONS = (
    click.argument("model", required=False),
    click.option(
        "--activations",
        is_flag=True,
        help="TRUSTED and TEST are files of cached activations; there is no MODEL.",
    ),
    click.option("--trusted", required=True, metavar="DATA", help="Data that hold no anomaly."),
    click.option("--test", "tested", required=True, metavar="DATA", help="Data to be judged."),
    click.option(
        "--labels",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Which test data are anomalies: an array of 0 and 1. Gives AUROC.",
    ),
    click.option("--site", help="Hook point, for instance blocks.1.hook_resid_post."),
    click.option(
        "--setting",
        type=click.Choice(["site", "mechanism"]),
        default="site",
        show_default=True,
        help="Bits of the activations at a site, or of outputs given a mechanism.",
    ),
    click.option(
        "--explain",
        multiple=True,
        required=True,
        metavar="KIND[:PATH][,key=value…]",
        help="An explanation, fitted to trusted data; may be repeated.",
    ),
    click.option("--budget", type=float, help="Bits that the parts of an explanation may take, at most."),
    click.option("--delta", type=float, help="Step of the grid; by default 1/16 of the spread."),
    click.option(
        "--tolerance",
        type=float,
        default=0.001,
        show_default=True,
        help="By what share the message about trusted data may grow in the worst case.",
    ),
    click.option("--alpha", type=float, default=0.05, show_default=True, help="Rate of false positives."),
    click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON here."),
)


@click.command(cls=Command)
@running_options
@display_options
@click.pass_context
def anomalies(ctx: click.Context, /, display: str, as_json: bool, **rest: Any) -> None:
    """Say how strange each test datum is, in bits under explanations of trusted data.

    A third of the trusted data calibrates conformal p-values: of ordinary data at most ALPHA are called
    anomalies. Mahalanobis, leverage, LOF and −loss stand beside the bits, and two gates run every time.

    \b
    assay anomalies zoo:digits --trusted clean.npz --test mixed.npz --labels backdoored.npy \\
        --site layers.1 --explain pca,k=8 --explain neurons --budget 20000
    """
    screen = Display(display, as_json)
    if bool(rest["model"]) == rest["activations"]:
        raise click.UsageError("expected MODEL, or --activations, and not both")
    network, trusted, test = _observed(rest)
    from assay.explanations.anomalies import judge, usual_detectors

    fit, calibration = trusted.split(2 / 3, rest["seed"])
    detectors = [*_explained(rest, network, fit), *usual_detectors(fit)]
    labels = _labels(rest["labels"])
    found = judge(detectors, calibration, test, labels, rest["alpha"], network)
    document = _document(found)
    screen.document(document)
    if rest["out"] is not None:
        import json

        from assay.mdl.report import write_whole

        write_whole(rest["out"], json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    _show(screen, found)


anomalies = all_of(OPTIONS, anomalies)


def _observed(rest: dict[str, Any]) -> tuple[Network | None, Observations, Observations]:
    """The network, if there is one, and what is seen of trusted and of test data."""
    from assay.explanations.anomalies import observe, observed
    from assay.models import Activations, load_dataset

    if rest["activations"]:
        trusted, test = (observed(Activations.load(rest[key])) for key in ("trusted", "tested"))
        return None, trusted, test
    from .evidence import loaded_network

    network = loaded_network(rest["model"], rest["device"], rest["dtype"])
    trusted, test = (
        observe(network, load_dataset(rest[key], network, rest["limit"], seed), rest["site"])
        for key, seed in (("trusted", rest["seed"]), ("tested", rest["seed"] + 1))
    )
    return network, trusted, test


def _explained(rest: dict[str, Any], network: Network | None, fit: Observations) -> list[Detector]:
    from assay.explanations.anomalies import explained

    return explained(
        rest["explain"],
        network,
        fit,
        setting=rest["setting"],
        site=rest["site"],
        delta=rest["delta"],
        budget=rest["budget"],
        tolerance=rest["tolerance"],
        seed=rest["seed"],
    )


def _labels(path: Path | None) -> Any:
    if path is None:
        return None
    from assay.explanations.anomalies import anomaly_labels
    from assay.models import read_arrays

    arrays = read_arrays(path)
    return anomaly_labels(arrays.get("labels", next(iter(arrays.values()))))


def _document(found: Detection) -> dict[str, Any]:
    rows = [
        {
            "detector": v.name,
            "scores": v.scores.tolist(),
            "p": v.p.tolist(),
            "auroc": None if v.detected is None else vars(v.detected),
            "false_positives": v.false_positives,
            "found": v.found,
            "no_anomaly": vars(v.no_anomaly),
        }
        for v in found.verdicts
    ]
    gates = {"complete": found.complete, "held": found.gates}
    return {"schema": "assay.anomalies/1", "alpha": found.alpha, "gates": gates, "detectors": rows}


def _show(screen: Display, found: Detection) -> None:
    rows = []
    for v in found.verdicts:
        d, calm = v.detected, v.no_anomaly
        flagged = int((v.p <= found.alpha).sum())
        rows.append(
            (
                v.name,
                "–" if d is None else f"{d.auroc:.3f} [{d.low:.3f}, {d.high:.3f}]",
                f"{flagged} of {len(v.p)}",
                "–" if v.false_positives is None else f"{v.false_positives:.3f}",
                f"{calm.auroc:.3f} [{calm.low:.3f}, {calm.high:.3f}]",
            )
        )
    columns = ("detector", "AUROC", f"p ≤ {found.alpha:g}", "false positives", "without anomaly")
    note = "Without anomaly: trusted data against trusted data, to be about 1/2."
    screen.sheet(Sheet("", columns, tuple(rows), note=note))
    if found.complete is not None:
        screen.line(f"complete explanation: AUROC {found.complete:.3f}, to be .500 exactly")
    screen.line("gates: " + ("both hold" if found.gates else "NOT held: do not trust these figures"))
