"""Bases of a site: neurons, principal components, a random rotation."""

from __future__ import annotations

from typing import Any

from assay.explanations.neurons import NeuronBasis, Neurons
from assay.explanations.pca import pca as principal
from assay.explanations.pca import random_rotation
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject


def neurons(spec: Spec, subject: Subject) -> Any:
    """The coordinates of a site, or the neurons of a network."""
    if subject.setting == "site":
        spec.only()
        return NeuronBasis(subject.width())
    spec.only("sites")
    sites = spec.options.get("sites")
    return Neurons(subject.model(), sites.split("+") if sites else None)


def pca(spec: Spec, subject: Subject) -> Any:
    """Principal components, all or ``k`` of them."""
    spec.only("k")
    return principal(subject.activations(), spec.integer("k"))


def rotation(spec: Spec, subject: Subject) -> Any:
    """A random rotation of the site."""
    spec.only("seed")
    return random_rotation(subject.activations(), spec.integer("seed") or subject.seed)
