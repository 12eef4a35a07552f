"""What a command weighs: the model's behaviour on data, or cached activations."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from assay.explanations.weighing import Evidence, Question, TargetName

RUN_CONFIG = "final_config.yaml"
"""What the folder of a decomposition run holds; said here again, since models are imported only to run."""


def check_usage(options: dict[str, Any]) -> None:
    """Tell everything at once that is wrong with how the options fit together."""
    problems = []
    if options["activations"]:
        if options["model"] or options["data"]:
            problems.append("--activations stands instead of MODEL and --data")
        if options["setting"] == "mechanism" or options["target"] not in (None, "activations"):
            problems.append(
                "cached activations come without a network: only --setting site "
                "--target activations can be scored"
            )
    else:
        if not options["model"]:
            problems.append("expected MODEL, or --activations FILE")
        elif not options["data"] and not _brings_data(options["model"]):
            problems.append("expected --data")
        if options["setting"] == "site" and not options["site"]:
            problems.append("the site setting needs --site")
    if options["setting"] == "mechanism" and options["target"] == "activations":
        problems.append("a mechanism explains outputs: --target outputs")
    if problems:
        raise click.UsageError("; ".join(problems))


def _brings_data(model: str) -> bool:
    """Shipped models, compiled programs, and the networks of decomposition runs know their own data."""
    path = Path(re.sub(r"@\d+$", "", model))
    folder = path if path.is_dir() else path.parent
    return model.startswith(("zoo:", "program:")) or (path.exists() and (folder / RUN_CONFIG).is_file())


def gathered(options: dict[str, Any]) -> Evidence:
    """Read what is scored, and run the model over it.

    With ``outputs_too`` a classifier or language model is asked for its outputs, at a site as well.
    """
    from assay.explanations.weighing import Question, gather

    target: TargetName = options["target"] or ("activations" if options["setting"] == "site" else "outputs")
    question = Question(
        setting=options["setting"],
        target=target,
        site=options["site"],
        delta=options["delta"],
        precision=options["part_bits"],
        seed=options["seed"],
        audit=options.get("audit", False),
        held_out=options.get("held_out", False),
        readings=options.get("readings", False) or bool(options.get("compute_curve")),
        curve=curve(options.get("compute_curve")),
    )
    if options["activations"]:
        return cached(question, options["activations"], options["limit"])
    from assay.models import load_dataset
    from assay.models.formats.run_data import usual_data

    network = loaded_network(options["model"], options["device"], options["dtype"])
    data = options["data"] or usual_data(options["model"])
    dataset = load_dataset(data, network, options["limit"], options["seed"])
    if options.get("outputs_too") and network.output == "categorical":
        question = replace(question, target="outputs")
    return gather(question, network, dataset, options["batch_size"])


def curve(path: str | None) -> Any:
    """The curve of loss and training compute in a file, if one is given."""
    if path is None:
        return None
    from assay.mdl.compute import ComputeCurve

    return ComputeCurve.load(path)


def loaded_network(model: str, device: str, dtype: str | None) -> Any:
    """A network on its device, in its type."""
    import torch
    from assay.models import best_device, load

    return load(model).to(best_device(device), None if dtype is None else getattr(torch, dtype))


def cached(question: Question, path: str, limit: int | None) -> Evidence:
    """Evidence from a file of activations; ``limit`` counts data, each with all its positions."""
    from assay.explanations.weighing import Evidence
    from assay.models import Activations

    found = Activations.load(path)
    if limit is not None:
        found = found.take(limit)
    site = question.site or found.site
    return Evidence(replace(question, site=site), None, None, found, None)
