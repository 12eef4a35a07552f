"""From what a user writes to explanations: the kinds that ship, and those that plug-ins register.

A plug-in registers a builder under the entry-point group ``assay.explanations``, named by its kind: a
callable ``(Spec, Subject) -> explanation``. The explanation then plays in whichever setting its methods fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import Any, Literal

from assay.models import Dataset, Network
from torch import Tensor

from . import shipped
from .alternatives import Alternatives
from .circuits import prune_by_attribution, prune_by_magnitude
from .codebook import Codebook
from .components import Always, Components, planted_components, svd_components
from .errors import ExplanationError
from .neurons import NeuronBasis, Neurons
from .pca import pca, random_rotation
from .sae import SAE, SAECoefficients, SAEMechanism, SAESite
from .saelens import load_saelens
from .specs import Spec
from .stored import load_components
from .student import Student
from .whole import Answers, Lookup, WholeNetwork

Setting = Literal["site", "mechanism"]


@dataclass(frozen=True, eq=False)
class Subject:
    """What an explanation is about; ``x`` [rows, d] are the activations (site), ``outputs`` the model's."""

    setting: Setting
    network: Network | None = None
    dataset: Dataset | None = None
    site: str | None = None
    x: Tensor | None = None
    outputs: Tensor | None = None
    seed: int = 0

    def activations(self) -> Tensor:
        """The activations, or an error: only the site setting has them."""
        if self.x is None:
            raise ExplanationError("this kind explains activations at a site: use --setting site")
        return self.x

    def model(self) -> Network:
        """The network, or an error: cached activations come without one."""
        if self.network is None:
            raise ExplanationError("this kind needs the network, not only its activations")
        return self.network

    def inputs(self) -> Tensor:
        """The inputs of the data."""
        if self.dataset is None:
            raise ExplanationError("this kind needs the data, not only activations")
        return self.dataset.inputs.to(self.model().device)


Builder = Callable[[Spec, Subject], Any]


def _neurons(spec: Spec, subject: Subject) -> Any:
    if subject.setting == "site":
        spec.only()
        return NeuronBasis(subject.activations().shape[1])
    spec.only("sites")
    sites = spec.options.get("sites")
    return Neurons(subject.model(), sites.split("+") if sites else None)


def _pca(spec: Spec, subject: Subject) -> Any:
    spec.only("k")
    return pca(subject.activations(), spec.integer("k"))


def _rotation(spec: Spec, subject: Subject) -> Any:
    spec.only("seed")
    return random_rotation(subject.activations(), spec.integer("seed") or subject.seed)


def _sae(spec: Spec, subject: Subject) -> Any:
    spec.only("site", "told", "k", "threshold")
    path = spec.needs_path("a SAELens folder, or the name of a shipped SAE")
    sae: SAE = shipped.shipped_sae(path) if path in shipped.SAES else load_saelens(path)
    sae = sae.sparser(spec.integer("k"), spec.number("threshold"))
    if subject.setting == "mechanism":
        return _sae_mechanism(spec, subject, sae)
    width = subject.activations().shape[1]
    if sae.W_enc.shape[0] != width:
        raise ExplanationError(
            f"{spec.text!r}: the SAE reads {sae.W_enc.shape[0]} coordinates, the site has {width}"
        )
    return SAESite(sae)


def _sae_mechanism(spec: Spec, subject: Subject, sae: SAE) -> Any:
    """Features told by their encoder rows, or by their coefficients: the shorter, unless the user says."""
    sae = replace(sae, site=spec.options.get("site", sae.site))
    ways: dict[str, Callable[[], Any]] = {
        "encoder": lambda: SAEMechanism(sae, subject.model()),
        "coefficients": lambda: SAECoefficients(sae, subject.model(), subject.inputs()),
    }
    told = spec.options.get("told")
    if told is None:
        return Alternatives(f"SAE {sae.width}", [way() for way in ways.values()])
    if told not in ways:
        raise ExplanationError(f"{spec.text!r}: told={told!r} is not {' or '.join(ways)}")
    return ways[told]()


def _lookup(spec: Spec, subject: Subject) -> Any:
    spec.only()
    if subject.setting == "site":
        return Codebook(subject.activations())
    return Lookup(subject.model(), subject.inputs())


def _network(spec: Spec, subject: Subject) -> Any:
    spec.only()
    return WholeNetwork(subject.model())


def _answers(spec: Spec, subject: Subject) -> Any:
    spec.only()
    if subject.outputs is None:
        raise ExplanationError("answers are told in the mechanism setting")
    return Answers(subject.model(), subject.outputs)


def _student(spec: Spec, subject: Subject) -> Any:
    spec.only("seed")
    if subject.outputs is None:
        raise ExplanationError("a student learns the outputs of a mechanism")
    seed = spec.integer("seed")
    return Student(subject.model(), subject.inputs(), subject.outputs, subject.seed if seed is None else seed)


def _circuit(spec: Spec, subject: Subject) -> Any:
    spec.only("keep", "method")
    network, keep = subject.model(), spec.number("keep")
    keep = 0.5 if keep is None else keep
    default = "attribution" if network.input == "token" else "magnitude"
    match spec.options.get("method", default):
        case "magnitude":
            return prune_by_magnitude(network, keep)
        case "attribution":
            return prune_by_attribution(network, subject.inputs()[:32], keep)
        case other:
            raise ExplanationError(f"{spec.text!r}: method {other!r} is not magnitude or attribution")


def _components(spec: Spec, subject: Subject) -> Any:
    spec.only("from", "active", "weights")
    network = subject.model()
    made = _made_components(spec, network)
    if (active := spec.options.get("active", "always")) != "always":
        raise ExplanationError(f"{spec.text!r}: active={active!r} is not always")
    if "active" in spec.options:
        return Components(network, made.factors, Always(), f"{made.name}, all active", made.about)
    return made


def _made_components(spec: Spec, network: Network) -> Components:
    if spec.path in shipped.COMPONENTS:
        return shipped.shipped_components(str(spec.path), network)
    if spec.path is not None:
        return load_components(spec.path, network)
    match spec.options.get("from"):
        case "svd":
            matrices = [n for n, v in network.parameters().items() if v.ndim == 2]
            chosen = spec.options.get("weights")
            return svd_components(network, tuple(chosen.split("+") if chosen else matrices))
        case "truth":
            return planted_components(network)
    raise ExplanationError(f"{spec.text!r}: expected components:PATH, or from=svd or from=truth")


KINDS: dict[str, Builder] = {
    "neurons": _neurons,
    "pca": _pca,
    "rotation": _rotation,
    "sae": _sae,
    "lookup": _lookup,
    "network": _network,
    "answers": _answers,
    "student": _student,
    "circuit": _circuit,
    "components": _components,
}
SITE_ONLY = {"pca", "rotation"}
MECHANISM_ONLY = {"network", "answers", "student", "circuit", "components"}


def build(text: str, subject: Subject) -> Any:
    """The explanation that a user's text names, about a subject.

    Raises :class:`ExplanationError` for an unknown kind, option or setting.
    """
    spec = Spec.parse(text)
    builder = KINDS.get(spec.kind) or _plugin(spec.kind)
    wrong = MECHANISM_ONLY if subject.setting == "site" else SITE_ONLY
    if spec.kind in wrong:
        other = "mechanism" if subject.setting == "site" else "site"
        raise ExplanationError(f"{text!r}: {spec.kind} plays in --setting {other}, not in {subject.setting}")
    made = builder(spec, subject)
    if "name" in spec.options:
        made.name = spec.options["name"]
    return made


def _plugin(kind: str) -> Builder:
    for point in entry_points(group="assay.explanations"):
        if point.name == kind:
            loaded: Builder = point.load()
            return loaded
    plugins = [point.name for point in entry_points(group="assay.explanations")]
    raise ExplanationError(f"unknown kind {kind!r}; kinds are {', '.join((*KINDS, *plugins))}")
