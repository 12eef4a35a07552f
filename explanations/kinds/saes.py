"""Sparse autoencoders and transcoders, by name or from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from assay.explanations.alternatives import Alternatives
from assay.explanations.errors import ExplanationError
from assay.explanations.sae.folding import nested, rescaled, sparser
from assay.explanations.sae.formats.detect import load_sae, load_transcoders
from assay.explanations.sae.mechanism import SAECoefficients, SAEMechanism
from assay.explanations.sae.shipped import METAS, SAES, shipped_sae
from assay.explanations.sae.site import SAESite
from assay.explanations.sae.transcoders import Transcoder, TranscoderCoefficients, TranscoderMechanism
from assay.explanations.sae.weights import SAE
from assay.explanations.specs import Spec
from assay.explanations.subject import Subject


def sae(spec: Spec, subject: Subject) -> Any:
    """An SAE from any tool's file, or the name of a shipped one.

    ``k`` and ``threshold`` make it sparser, ``width`` takes a prefix of a Matryoshka SAE, ``scale`` is the
    constant that its inputs were multiplied by, ``meta`` an SAE on its decoder rows to tell these through.
    """
    spec.only("site", "told", "k", "threshold", "width", "scale", "meta")
    path = spec.needs_path("a SAELens folder, another tool's file of an SAE, or the name of a shipped SAE")
    found = _changed(spec, _named(path))
    if subject.setting == "mechanism":
        return _sae_mechanism(spec, subject, found)
    width = subject.width()
    if found.d_in != width:
        raise ExplanationError(f"{spec.text!r}: the SAE reads {found.d_in} coordinates, the site has {width}")
    return _sae_site(spec, subject, found)


def _named(path: str) -> SAE:
    return shipped_sae(path) if path in (*SAES, *METAS) else load_sae(path)


def _meta(spec: Spec) -> SAE | None:
    """The SAE on decoder rows that the user names."""
    return _named(spec.options["meta"]) if "meta" in spec.options else None


def _title(sae: SAE, meta: SAE | None) -> str:
    """What tables call it."""
    return f"SAE {sae.width}" if meta is None else f"SAE {sae.width} through {meta.width}"


def _changed(spec: Spec, found: SAE) -> SAE:
    """The SAE with what the user asks for."""
    if (scale := spec.number("scale")) is not None:
        found = rescaled(found, scale)
    if (width := spec.integer("width")) is not None:
        found = nested(found, width)
    return sparser(found, spec.integer("k"), spec.number("threshold"))


def _choice(spec: Spec, name: str, ways: dict[str, Callable[[], Any]]) -> Any:
    """The way that the user says, or all: the shortest is told."""
    told = spec.options.get("told")
    if told is None:
        return Alternatives(name, [way() for way in ways.values()]) if len(ways) > 1 else ways.popitem()[1]()
    if told not in ways:
        raise ExplanationError(f"{spec.text!r}: told={told!r} is not {' or '.join(ways)}")
    return ways[told]()


def _sae_site(spec: Spec, subject: Subject, sae: SAE) -> Any:
    """As a dictionary; of a switch SAE the expert of each row is told first, or not at all."""
    meta = _meta(spec)
    name = _title(sae, meta)
    ways: dict[str, Callable[[], Any]] = {"features": lambda: SAESite(sae, name, meta=meta)}
    if sae.router is not None:
        ways["experts"] = lambda: SAESite(sae, name, subject.activations(), meta)
    return _choice(spec, name, ways)


def _sae_mechanism(spec: Spec, subject: Subject, sae: SAE) -> Any:
    """Features told by their encoder rows, or by their coefficients: the shorter, unless the user says."""
    sae, meta = replace(sae, site=spec.options.get("site", sae.site)), _meta(spec)
    name = _title(sae, meta)
    ways: dict[str, Callable[[], Any]] = {
        "encoder": lambda: SAEMechanism(sae, subject.model(), name, meta),
        "coefficients": lambda: SAECoefficients(sae, subject.model(), subject.inputs(), name, meta),
    }
    return _choice(spec, name, ways)


def transcoder(spec: Spec, subject: Subject) -> Any:
    """A transcoder, or all layers of a cross-layer one, from any tool's file.

    ``site`` and ``target`` name where a single one reads and writes.
    """
    spec.only("site", "target", "told")
    path = spec.needs_path("a transcoder's folder or file, or the folder of a cross-layer transcoder")
    found = load_transcoders(path)
    if {"site", "target"} & spec.options.keys():
        if len(found) > 1:
            raise ExplanationError(f"{spec.text!r}: a cross-layer transcoder knows its sites itself")
        found = (_moved(spec, found[0]),)
    network, inputs = subject.model(), subject.inputs()
    ways: dict[str, Callable[[], Any]] = {
        "encoder": lambda: TranscoderMechanism(found, network, inputs),
        "coefficients": lambda: TranscoderCoefficients(found, network, inputs),
    }
    return _choice(spec, f"transcoder {sum(t.features.width for t in found)}", ways)


def _moved(spec: Spec, found: Transcoder) -> Transcoder:
    """A transcoder at other sites."""
    site = spec.options.get("site", found.features.site)
    target = spec.options.get("target", found.targets[0])
    return replace(found, features=replace(found.features, site=site), targets=(target,))
