"""The model's own task under an explanation: its loss, how much of it is recovered, and of training compute.

Loss is the cross-entropy of the data's labels in nats, over all that carry one; a sequence of tokens without
labels is labelled with the tokens that follow. It is told beside the bits, never in them: it says how well
the task is done, not how well the model is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from assay.mdl import Score
from assay.mdl.audit import channel_of
from assay.mdl.mechanism_score import received
from assay.mdl.site import chunks
from assay.models import Intervention, Network
from torch import Tensor
from torch.nn import functional as F

from .weighing import Evidence, mechanism_problem, site_problem

UNLABELLED = -100
"""What torch's cross-entropy leaves out."""

Answered = Iterator[tuple[slice, Tensor, Tensor]]
"""(data, logits under the explanation, logits with nothing explained)"""


def loss_readings(evidence: Evidence, sent: Any, score: Score) -> dict[str, float]:
    """``loss`` and ``loss_recovered``, and with a curve ``compute_recovered``.

    Empty where there is no classifier, or nothing to classify right.
    """
    network, labels = evidence.network, _labels(evidence)
    if network is None or labels is None or evidence.dataset is None:
        return {}
    answered = _site if evidence.question.setting == "site" else _mechanism
    totals = torch.zeros(3, dtype=torch.float64)
    for data, told, without in answered(evidence, network, sent, score):
        own = network(evidence.dataset.inputs[data].to(network.device))
        totals += torch.stack([_nats(logits, labels[data]) for logits in (own, told, without)])
    model, explanation, floor = (totals / int((labels != UNLABELLED).sum())).tolist()
    readings = {"loss": explanation}
    if floor > model:
        readings["loss_recovered"] = (floor - explanation) / (floor - model)
    if evidence.question.curve is not None:
        readings["compute_recovered"] = evidence.question.curve.recovered(model, explanation)
    return readings


def _labels(evidence: Evidence) -> Tensor | None:
    """Labels [n] or [n, positions] of a classifier's data."""
    dataset, network = evidence.dataset, evidence.network
    if dataset is None or network is None or network.output != "categorical":
        return None
    if dataset.labels is not None:
        return dataset.labels
    if network.input != "token" or network(dataset.inputs[:1].to(network.device)).ndim != 3:
        return None
    return F.pad(dataset.inputs[:, 1:].long(), (0, 1), value=UNLABELLED)


def _nats(logits: Tensor, labels: Tensor) -> Tensor:
    """Σ −ln p(label), float64 on the CPU."""
    flat = labels.flatten().long().to(logits.device)
    return F.cross_entropy(
        logits.flatten(0, -2).double(), flat, ignore_index=UNLABELLED, reduction="sum"
    ).cpu()


def _site(evidence: Evidence, network: Network, sent: Any, score: Score) -> Answered:
    """The network with x̂ in place of the site's activations; with nothing explained the site is zero."""
    problem, site, dataset = site_problem(evidence), evidence.question.site, evidence.dataset
    assert site is not None
    assert dataset is not None
    channel = channel_of(sent, problem, score)
    for _, rows in chunks(len(problem.x), problem.positions, 1):
        data = slice(rows.start // problem.positions, rows.stop // problem.positions)
        x = dataset.inputs[data].to(network.device)
        told = channel.predict(channel.integers(problem.x[rows]))
        yield data, network.patched(x, {site: _put(told)}), network.patched(x, {site: torch.zeros_like})


def _put(told: Tensor) -> Intervention:
    return lambda activation: told.to(activation).reshape(activation.shape)


def _mechanism(evidence: Evidence, network: Network, sent: Any, score: Score) -> Answered:
    """What the receiver predicts; with nothing explained every outcome is as likely."""
    for data, told in received(sent, mechanism_problem(evidence), score):
        yield data, told, torch.zeros_like(told)
