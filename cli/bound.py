"""``assay bound``: compact proofs of accuracy, and how long they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from .display import Display
from .failures import Command, Failure
from .options import display_options
from .sheets import Sheet

Bound = Any
Subject = Any
Family = Any
"""Modules with the same names: `assay.proofs.strategies` (max-of-K) and `assay.proofs.words` (products)."""

REFUTED = 1
SCHEMA = "assay.bounds/1"


def operations(value: str) -> float:
    """Read a number of operations: 5000000, 5e6."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not number >= 1:
        raise click.BadParameter(f"{value!r} is no number of operations; expected for instance 5e6")
    return number


@click.command(cls=Command)
@click.argument("model")
@click.option(
    "--strategy",
    default="all",
    show_default=True,
    metavar="NAME|all|search",
    help="One strategy, all of them, or a search over their combinations.",
)
@click.option(
    "--budget", type=operations, metavar="OPS", help="The most operations that verifying the proof may take."
)
@click.option(
    "--semantics",
    type=click.Choice(["real", "float32"]),
    default="real",
    show_default=True,
    help="Exact arithmetic on the stored weights, or whatever torch computes in float32.",
)
@click.option(
    "--certificates",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the certificate of the best bound into this folder, checked, with the weights.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the report (JSON).")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw certified accuracy against operations (.svg or .html).",
)
@display_options
@click.pass_context
def bound(
    ctx: click.Context,
    model: str,
    strategy: str,
    budget: float | None,
    semantics: str,
    certificates: Path | None,
    out: Path | None,
    plot: Path | None,
    display: str,
    as_json: bool,
    debug: bool,
) -> None:
    """Bound a network's accuracy from below, over all inputs, by proofs of different lengths.

    MODEL is a transformer of one layer and one attention head that answers with the largest of its K tokens,
    such as zoo:max-of-4, or a recurrent network of products, such as zoo:sum-of-8, zoo:word-of-6 and
    zoo:brackets-of-40. The accuracy is that of all v^K sequences; the length of a proof is what it takes to
    verify it, in operations. Strategies: brute-force, by-paths, cubic, sub-cubic (and -low-rank-QK,
    -low-rank-EU), and numerator forms such as joint-apart-exact; for products fourier and pairs; all of them
    says which suit the model.

    Exit codes: 0 proved, 1 the strategy rests on a rule that is false, or none fits the budget.
    """
    if plot is not None and plot.suffix not in (".svg", ".html"):
        raise Failure(f"{plot}: unknown kind of picture, expected .svg or .html")
    screen = Display(display, as_json)
    strategies, subject = _subject(model, semantics)
    limit = float("inf") if budget is None else budget
    try:
        with screen.working() as report:
            bounds = _bounds(strategies, subject, strategy, limit, partial(report, model) if report else None)
    except strategies.UnsoundRule as error:
        click.echo(f"{strategy}: rejected: {error}", err=True)
        ctx.exit(REFUTED)
    best = strategies.best(bounds, limit)
    provable = strategies.best([b for b in bounds if strategies.has_certificate(b)], limit)
    if certificates is not None and provable is None:
        raise Failure(f"no bound of strategy {strategy} within the budget has a certificate")
    path = strategies.certify(provable, subject, certificates) if certificates and provable else None
    document = _document(strategies, subject, model, bounds, best, path)
    _write(document, bounds, subject, out, plot)
    screen.document(document)
    screen.sheet(_sheet(bounds, best))
    _summary(screen, document)
    if best is None:
        ctx.exit(REFUTED)


def _subject(model: str, semantics: Any) -> tuple[Family, Subject]:
    from assay.models import load
    from assay.models.products import ComplexProduct, MatrixProduct
    from assay.proofs import strategies, words

    network = load(model)
    if isinstance(network.module, ComplexProduct | MatrixProduct):
        products = words.Subject(network, semantics)
        products.shape  # noqa: B018  (read now, so that bad input is told before work begins)
        return words, products
    subject = strategies.Subject(network, semantics)
    subject.shape, subject.slack  # noqa: B018  (as above)
    return strategies, subject


def _bounds(strategies: Family, subject: Subject, strategy: str, budget: float, report: Any) -> list[Bound]:
    if strategy == "search":
        return list(strategies.search(subject, budget, report))
    if strategy == "all":
        return list(strategies.sweep(subject, budget, report))
    return [strategies.apply(strategies.named(strategy), subject)]


def _document(
    strategies: Family,
    subject: Subject,
    model: str,
    bounds: Sequence[Bound],
    best: Bound | None,
    certificate: Path | None,
) -> dict[str, Any]:
    shape = subject.shape
    shortest = {b.strategy for b in strategies.frontier(bounds)}
    return {
        "schema": SCHEMA,
        "model": model,
        "digest": subject.network.digest,
        "semantics": subject.semantics,
        "shape": shape.sizes(),
        "sequences": str(shape.sequences),
        "bounds": [_row(b, b.strategy in shortest) for b in bounds],
        "best": best and best.strategy.name,
        "quality": strategies.quality(bounds, shape) if bounds else 0.0,
        "certificate": certificate and str(certificate),
    }


def _row(bound: Bound, on_frontier: bool) -> dict[str, Any]:
    return {
        "strategy": bound.strategy.name,
        "argument": bound.strategy.argument,
        "certified": str(bound.certified),
        "accuracy": bound.accuracy,
        "operations": bound.operations,
        "operations_by_part": bound.parts,
        "unexplained_dimension": bound.unexplained,
        "seconds": bound.seconds,
        "on_frontier": on_frontier,
    }


def _write(
    document: dict[str, Any], bounds: Sequence[Bound], subject: Subject, out: Path | None, plot: Path | None
) -> None:
    from assay.models.storage import write_whole

    from .proof_lengths import picture

    for path in filter(None, (out, plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if out is not None:
        write_whole(out, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    if plot is not None:
        title = f"{document['model']}: certified accuracy against length of proof"
        points = [(b.operations, b.accuracy, b.strategy.name) for b in bounds]
        sizes = document["shape"]  # published points are of max-of-K alone, whose tokens are v
        write_whole(plot, picture(title, points, sizes["K"], sizes.get("v", 0)).encode())


def _sheet(bounds: Sequence[Bound], best: Bound | None) -> Sheet:
    ordered = sorted(bounds, key=lambda b: b.operations)
    rows = tuple(
        (
            b.strategy.name,
            f"{b.accuracy:.5f}",
            f"{b.operations:,}",
            f"{b.unexplained:,}",
            f"{b.seconds:.2f}",
        )
        for b in ordered
    )
    marked = frozenset((i, 1) for i, b in enumerate(ordered) if b is best)
    columns = ("strategy", "accuracy at least", "operations", "unexplained dimension", "seconds")
    return Sheet("", columns, rows, marked)


def _summary(screen: Display, document: dict[str, Any]) -> None:
    if screen.as_json:
        return
    if document["best"] is None:
        screen.line("no proof fits the budget")
        return
    row = next(row for row in document["bounds"] if row["strategy"] == document["best"])
    screen.line(
        f"\n{row['strategy']}: right on at least {row['certified']} of {document['sequences']} sequences "
        f"({row['accuracy']:.5f}), {document['semantics']} arithmetic, by {row['argument']}"
    )
    screen.line(f"Q of this frontier: {document['quality']:.3f}")
    if document["certificate"]:
        screen.line(f"certificate: {document['certificate']} (checked)")
