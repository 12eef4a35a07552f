"""Transcoders: read at one site, write at others (Dunefsky et al. 2024, arXiv 2406.11944; cross-layer ones:
Ameisen et al. 2025). In the mechanism setting they stand for what they explain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import Rebuilt
from assay.mdl import Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .mechanism import as_rows, by_position, feature_tensors, received, weights_used
from .weights import SAE


@dataclass(frozen=True, eq=False)
class Transcoder:
    """``features`` read at ``features.site``; a row of W_dec holds what is written at every target in turn.

    y_t = a W_dec[:, t] + b_dec[t], and x W_skip beside it at the first target; W_skip [d_in, d_out].
    """

    features: SAE
    targets: tuple[str, ...]
    W_skip: Tensor | None = None

    def __post_init__(self) -> None:
        d_in, d_out = self.features.d_in, self.features.d_out
        if not self.targets or d_out % len(self.targets):
            raise ExplanationError(
                f"transcoder: rows of {d_out} numbers cannot be shared by {len(self.targets)} targets"
            )
        want = (d_in, d_out // len(self.targets))
        if self.W_skip is not None and (got := tuple(self.W_skip.shape)) != want:
            raise ExplanationError(f"transcoder: W_skip has shape {got}, expected {want}")
        if self.features.subtract_b_dec:
            raise ExplanationError("transcoder: b_dec belongs to what is written and cannot be subtracted")

    @property
    def d_out(self) -> int:
        """How many coordinates it writes at each target."""
        return self.features.d_out // len(self.targets)

    def write(self, a: Tensor, x: Tensor) -> dict[str, Tensor]:
        """What features a [rows, d_sae] of x [rows, d_in] write at each target: [rows, d_out]."""
        told = torch.split(self.features.decode(a), self.d_out, dim=-1)
        written = dict(zip(self.targets, told, strict=True))
        if self.W_skip is not None:
            written[self.targets[0]] = written[self.targets[0]] + x @ self.W_skip
        return written

    def recipe(self) -> dict[str, object]:
        """What it reads and writes, and what its features are."""
        skip = {"skip": True} if self.W_skip is not None else {}
        return {"reads": self.features.site, "writes": list(self.targets), **skip, **self.features.recipe()}


Features = Callable[[int, Tensor], Tensor]


class _Replaced:
    """Several transcoders in a network: what they stand for is not needed."""

    kind = "transcoder"
    donor = "zero"
    open_ended = False
    told = ""

    def __init__(
        self, transcoders: Sequence[Transcoder], network: Network, x: Tensor, name: str = ""
    ) -> None:
        _check_sites(transcoders, network)
        self.transcoders = [_placed(t, network) for t in transcoders]
        self.network = network
        self.width = sum(t.features.width for t in transcoders)
        self.name = name or f"transcoder {self.width}"
        self._rebuilt = Rebuilt(network)
        self._starts = [sum(t.features.width for t in transcoders[:i]) for i in range(len(transcoders))]
        self.behind = self._needed(x[:1])

    def _mine(self, active: Tensor, i: int) -> Tensor:
        start = self._starts[i]
        return active[..., start : start + self.transcoders[i].features.width]

    def _run(
        self, network: Network, transcoders: Sequence[Transcoder], x: Tensor, features: Features
    ) -> Tensor:
        """Run with the targets told; ``features(i, rows)`` are the activations of transcoder i on rows."""
        written: dict[str, list[Tensor]] = {}

        def reading(site: str, activation: Tensor) -> Tensor:
            for i, t in enumerate(transcoders):
                if t.features.site == site:
                    rows = as_rows(activation, t.features.d_in)
                    for target, value in t.write(features(i, rows), rows).items():
                        written.setdefault(target, []).append(value)
            return activation

        def writing(site: str, activation: Tensor) -> Tensor:
            if site not in written:
                raise ExplanationError(f"transcoder: {site} is written before any site that tells it is read")
            return torch.stack(written[site]).sum(0).reshape(activation.shape)

        patches = {t.features.site: partial(reading, t.features.site) for t in transcoders}
        patches |= {site: partial(writing, site) for t in transcoders for site in t.targets}
        return network.patched(x, patches)

    def _needed(self, x: Tensor) -> tuple[str, ...]:
        """The network's weights that outputs still depend on."""
        return weights_used(self.network, lambda copy: self._run(copy, self.transcoders, x, self._encoded))

    def _encoded(self, i: int, rows: Tensor) -> Tensor:
        return self.transcoders[i].features.encode(rows)

    def _rest(self) -> dict[str, Tensor]:
        own = self.network.parameters()
        skips = {
            f"transcoder.{i}.W_skip": t.W_skip for i, t in enumerate(self.transcoders) if t.W_skip is not None
        }
        return skips | {name: own[name] for name in self.behind}

    def _received(self, restored: Mapping[str, Tensor]) -> list[Transcoder]:
        """The transcoders that the receiver has."""
        made, like = [], self.network
        for i, t in enumerate(self.transcoders):
            skip = restored.get(f"transcoder.{i}.W_skip")
            made.append(
                replace(
                    t,
                    features=self._features(i, restored),
                    W_skip=None if skip is None else skip[0].to(like.device, like.dtype),
                )
            )
        return made

    def _features(self, i: int, restored: Mapping[str, Tensor]) -> SAE:
        return received(f"transcoder.{i}", self.transcoders[i].features, restored, self.network)

    def recipe(self) -> dict[str, object]:
        """What each of them reads and writes."""
        each = [t.recipe() for t in self.transcoders]
        about = each[0] if len(each) == 1 else {"layers": each}
        return {"kind": self.kind, "told": self.told, **about}


class TranscoderMechanism(_Replaced):
    """Mechanism setting: the network, with the targets computed from what the transcoders read.

    One part per feature: encoder row, bias (threshold) and what it writes at every target. The rest: decoder
    biases, skips, and the weights of the network that its outputs still depend on; those that the transcoders
    stand for are not sent.
    """

    told = "encoder rows"

    def parts(self) -> Parts:
        """Features of all transcoders in turn, then the remainder."""
        features: list[PartTensor] = []
        rest: dict[str, Tensor] = {}
        for i, t in enumerate(self.transcoders):
            owner = torch.arange(t.features.width) + self._starts[i]
            own, more = feature_tensors(f"transcoder.{i}", t.features, owner)
            features += own
            rest |= more
        remainder = (one_part(n, v, self.width) for n, v in (rest | self._rest()).items())
        return Parts(self.width, (*features, *remainder))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Features that fire in the network as it is sent: [data, positions, features]."""
        seen: dict[int, Tensor] = {}
        made = self._received(restored)

        def features(i: int, rows: Tensor) -> Tensor:
            a = made[i].features.encode(rows)
            seen[i] = by_position(a != 0)
            return a

        self._run(self._rebuilt(restored), made, x, features)
        return torch.cat([seen[i] for i in range(len(made))], dim=-1)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with the targets told by the active features alone."""
        made = self._received(restored)

        def features(i: int, rows: Tensor) -> Tensor:
            mine = self._mine(active, i)
            return made[i].features.activations(rows, mine if rows.ndim == 3 else mine[:, 0])

        return self._run(self._rebuilt(restored), made, x, features)


class TranscoderCoefficients(_Replaced):
    """Mechanism setting: what is written at the targets is told by coefficients; no encoder is sent."""

    told = "coefficients"

    def parts(self) -> Parts:
        """What the features write, then the remainder."""
        features = [
            PartTensor(f"transcoder.{i}.W_dec", t.features.W_dec, torch.arange(t.features.width) + start)
            for i, (t, start) in enumerate(zip(self.transcoders, self._starts, strict=True))
        ]
        rest = {f"transcoder.{i}.b_dec": t.features.b_dec for i, t in enumerate(self.transcoders)}
        remainder = (one_part(n, v, self.width) for n, v in (rest | self._rest()).items())
        return Parts(self.width, (*features, *remainder))

    def _features(self, i: int, restored: Mapping[str, Tensor]) -> SAE:
        like = self.network
        told = (restored[f"transcoder.{i}.{name}"].to(like.device, like.dtype) for name in ("W_dec", "b_dec"))
        W_dec, b_dec = told
        return replace(self.transcoders[i].features, W_dec=W_dec, b_dec=b_dec[0])

    def coefficients(self, x: Tensor) -> Tensor:
        """Activations [data, positions, features] of the transcoders in the network itself."""
        sites = list(dict.fromkeys(t.features.site for t in self.transcoders))
        _, seen = self.network.run(x, capture=sites)
        each = [
            by_position(t.features.encode(as_rows(seen[t.features.site], t.features.d_in)))
            for t in self.transcoders
        ]
        return torch.cat(each, dim=-1)

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Features with a coefficient."""
        return self.coefficients(x) != 0

    def predict_from(self, restored: Mapping[str, Tensor], x: Tensor, coefficients: Tensor) -> Tensor:
        """Run the network with the targets told by the coefficients."""
        made = self._received(restored)

        def features(i: int, rows: Tensor) -> Tensor:
            mine = self._mine(coefficients, i).to(rows)
            return mine if rows.ndim == 3 else mine[:, 0]

        return self._run(self._rebuilt(restored), made, x, features)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """With coefficients at full precision where active."""
        return self.predict_from(restored, x, self.coefficients(x) * active)


def _placed(t: Transcoder, network: Network) -> Transcoder:
    """A transcoder on the network's device, in its precision."""
    device, dtype = network.device, network.dtype
    skip = None if t.W_skip is None else t.W_skip.to(device, dtype)
    return replace(t, features=t.features.to(device, dtype), W_skip=skip)


def _check_sites(transcoders: Sequence[Transcoder], network: Network) -> None:
    """Every site has to be one of the network's, and none both read and written."""
    known = {*network.sites()}
    read = {t.features.site for t in transcoders}
    written = {site for t in transcoders for site in t.targets}
    if missing := sorted(site or "(none)" for site in read | written if site not in known):
        raise ExplanationError(
            f"transcoder: network {network.name!r} has no site {', '.join(missing)}; say which they are "
            "(site=…,target=…)"
        )
    if both := sorted(read & written):
        raise ExplanationError(f"transcoder: {', '.join(both)} cannot be both read and written")
