"""The networks and the data that claims speak of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from assay.models import Network, load, load_dataset
from torch import Tensor

from . import lemmas
from .circuits import held
from .claims import Circuit, Claim
from .faults import Fault, InputError
from .lowering import Graph, UnsupportedError, lower
from .obligations import Obligation, bind
from .program import Affine, Function
from .stages import enumeration


class ClaimNetworks:
    """Networks by what the claims call them, loaded and lowered once.

    `base` is the folder that paths are relative to; `given` are networks that need no loading.
    """

    def __init__(self, base: Path | None, given: dict[str, Network]) -> None:
        self.base = base
        self.given = given
        self.loaded: dict[str, Network] = {}
        self.circuits: dict[Circuit, Network] = {}
        # by the network itself: equal weights do not make equal networks
        self.lowered: dict[tuple[Network, bool], Graph | UnsupportedError] = {}

    def faults(self, claim: Claim) -> list[Fault]:
        """Load what a claim needs; what cannot be loaded, or does not fit."""
        faults = [fault for name in claim.networks for fault in self.unloaded(claim, name)]
        if faults:
            return faults
        try:
            graphs, _ = self.graphs(claim)
            if graphs is not None:
                faults += _tokens(claim, bind(claim, graphs)) + _vacuous(claim, graphs)
                if claim.lemmas:
                    lemmas.explained(claim, graphs)
        except InputError as error:
            faults += error.faults
        except (ValueError, OSError) as error:
            faults.append(Fault(str(error), where=claim.name))
        except OverflowError:
            told = "numbers that are beyond floating point where they are put together"
            faults.append(Fault(told, where=claim.name, key=("show",)))
        return faults

    def unloaded(self, claim: Claim, name: str) -> list[Fault]:
        """Why a network cannot be had; empty where it can."""
        try:
            self.network(claim, name)
        except InputError as error:
            return [replace(fault, key=fault.key or named_at(claim, name)) for fault in error.faults]
        except (ValueError, OSError) as error:
            return [Fault(str(error), where=claim.name, key=named_at(claim, name))]
        return []

    def network(self, claim: Claim, name: str) -> Network:
        """The network that a claim calls `name`; InputError where there is none."""
        if name in self.given:
            return self.given[name]
        if name in claim.circuits:
            return self.circuit(claim, claim.circuits[name])
        if name not in claim.models:
            raise InputError([Fault(f"no network is named {name!r}", where=claim.name)])
        return self.model(claim.models[name].partition("#")[0])

    def model(self, spec: str) -> Network:
        """The network of a spec."""
        if spec not in self.loaded:
            self.loaded[spec] = load(spec, base=self.base)
        return self.loaded[spec]

    def circuit(self, claim: Claim, parts: Circuit) -> Network:
        """A model of which some units are held at a number."""
        if parts not in self.circuits:
            model = self.given["f"] if "f" in self.given else self.model(parts.model)
            self.circuits[parts] = held(model, parts, claim.kind)
        return self.circuits[parts]

    def site(self, claim: Claim, name: str) -> str:
        """Module at which a network ends, of a model `SPEC#MODULE`; empty for the whole."""
        return "" if name in self.given else claim.models.get(name, "").partition("#")[2]

    def runs(self, claim: Claim) -> dict[str, Callable[[Tensor], Tensor]]:
        """What torch runs for each network of a claim."""
        return {name: _run(self.network(claim, name), self.site(claim, name)) for name in claim.networks}

    def graphs(self, claim: Claim) -> tuple[dict[str, Graph] | None, str]:
        """Exact forms of a claim's networks; None and the reasons where one has none."""
        found, reasons = {}, []
        for name in claim.networks:
            graph = self.graph(self.network(claim, name), claim.semantics == "float32")
            if isinstance(graph, Graph):
                site = self.site(claim, name)
                found[name] = graph.up_to(site) if site else graph
            else:
                reasons.append(f"{name}: {'; '.join(map(str, graph.faults))}")
        return (None, " | ".join(reasons)) if reasons else (found, "")

    def graph(self, network: Network, rounding: bool) -> Graph | UnsupportedError:
        """The exact form of a network, or why it has none."""
        if (network, rounding) not in self.lowered:
            tokens = network.input == "token"
            try:
                found = lower(network.module, network.in_shape, tokens=tokens, rounding=rounding)
                self.lowered[network, rounding] = found
            except UnsupportedError as error:
                self.lowered[network, rounding] = error
        return self.lowered[network, rounding]


def named_at(claim: Claim, name: str) -> tuple[str, ...]:
    """Where in its table a claim, of whatever kind, names a network."""
    if name == "f":
        return ("model",)
    within = {
        "explanation": ("within", "explanation"),
        "other_model": ("equivalent",),
        "unit": ("fires", "unit"),
    }
    if name == "circuit":
        return (claim.kind, "parts") if name in claim.circuits else (claim.kind,)
    return within.get(name, ("models", name)) if claim.kind != "show" else ("models", name)


def _tokens(claim: Claim, obligation: Obligation) -> list[Fault]:
    """Inputs that are looked up, but are no whole numbers, or have no place in the table."""
    program, faults = obligation.program, list[str]()
    ends = [np.array(side, dtype=np.float64) for side in (obligation.lo, obligation.hi)]
    for step in program.steps:
        source = program.steps[step.sources[0]] if isinstance(step, Function) else None
        if not isinstance(step, Function) or step.table is None or not isinstance(source, Affine):
            continue
        matrix = sum((m for _, m in source.terms), start=np.zeros((source.size, len(obligation.free))))
        up, down = matrix.astype(np.float64).clip(0), matrix.astype(np.float64).clip(None, 0)
        const = source.const.astype(np.float64)
        least, most = (const + up @ a + down @ b for a, b in (ends, ends[::-1]))
        if matrix[:, ~np.array(obligation.whole, dtype=bool)].any():
            faults.append("tokens that are no whole numbers: declare them as 'token LO..HI'")
        elif least.min() < 0 or most.max() >= len(step.table):
            told = f"{least.min():g}..{most.max():g}"
            faults.append(f"tokens in {told} are looked up in a table of {len(step.table)} rows")
    return [Fault(told, where=claim.name, key=("for",)) for told in dict.fromkeys(faults)]


def _vacuous(claim: Claim, graphs: Mapping[str, Graph]) -> list[Fault]:
    """The argmax of one output is always 0, so that every circuit would be sufficient."""
    single = claim.kind in ("sufficient", "necessary") and graphs["f"].outputs == 1
    if not single or "argmax" not in claim.show_text:
        return []
    told = f"{claim.kind}: the argmax of one output is always the same; say 'epsilon' beside the circuit"
    return [Fault(told, where=claim.name, key=(claim.kind,))]


def _run(network: Network, site: str) -> Callable[[Tensor], Tensor]:
    if not site:
        return network
    return lambda x: network.run(x, capture=[site])[1][site]


def scope_mass(claim: Claim, networks: Mapping[str, Network], data: str, seed: int) -> float | None:
    """Share of a dataset's inputs that lie in the scope; None where they do not match the claim's
    variables."""
    components = [c for v in claim.variables for c in v.components]
    for network in networks.values():
        rows = load_dataset(data, network, limit=10_000, seed=seed).inputs.flatten(1).double()
        if rows.shape[1] == len(components):
            shapes = {name: n.in_shape for name, n in networks.items()}
            inside = enumeration.evaluate(claim, rows, dict(networks), shapes)[1] & _in_ranges(claim, rows)
            return float(inside.double().mean())
    return None


def _in_ranges(claim: Claim, rows: Tensor) -> Tensor:
    ranges = [v for v in claim.variables for _ in v.components]
    low = torch.tensor([float(v.lo) for v in ranges], dtype=torch.float64)
    high = torch.tensor([float(v.hi) for v in ranges], dtype=torch.float64)
    whole = torch.tensor([v.whole for v in ranges])
    return ((rows >= low) & (rows <= high) & (~whole | (rows == rows.round()))).all(1)
