"""Sparse autoencoders: one encoder for the whole family, as site dictionary and as mechanism.

Shapes follow SAELens: W_enc [d_in, d_sae], W_dec [d_sae, d_in], b_enc [d_sae], b_dec [d_in].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from assay.mdl import Code, Dictionary, Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .errors import ExplanationError
from .rebuilt import Rebuilt

Architecture = Literal["standard", "topk", "jumprelu"]


@dataclass(frozen=True, eq=False)
class SAE:
    """Weights of a sparse autoencoder and how it encodes.

    x' = x − b_dec where ``subtract_b_dec``; pre = x' W_enc + b_enc; then ReLU (standard), the k largest
    of the ReLU (topk), or pre where pre > threshold and pre > 0 (jumprelu). x̂ = a W_dec + b_dec.
    """

    W_enc: Tensor
    W_dec: Tensor
    b_enc: Tensor
    b_dec: Tensor
    architecture: Architecture = "standard"
    k: int | None = None
    threshold: Tensor | None = None
    subtract_b_dec: bool = True
    site: str = ""
    about: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.W_enc.ndim != 2:
            raise ExplanationError(f"SAE: W_enc has shape {tuple(self.W_enc.shape)}, expected (d_in, d_sae)")
        d_in, d_sae = self.W_enc.shape
        wanted = {"W_dec": (d_sae, d_in), "b_enc": (d_sae,), "b_dec": (d_in,), "threshold": (d_sae,)}
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and (got := tuple(value.shape)) != shape:
                raise ExplanationError(f"SAE: {name} has shape {got}, expected {shape}")
        if self.architecture == "topk" and not (isinstance(self.k, int) and 1 <= self.k <= d_sae):
            raise ExplanationError(f"SAE: topk needs k in 1..{d_sae}, got {self.k}")
        if self.architecture == "jumprelu" and self.threshold is None:
            raise ExplanationError("SAE: jumprelu needs a threshold per feature")

    @property
    def width(self) -> int:
        """d_sae, the number of features."""
        return int(self.W_enc.shape[1])

    def to(self, device: torch.device) -> SAE:
        """The same SAE on a device."""
        names = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
        moved = {n: value.to(device) for n in names if (value := getattr(self, n)) is not None}
        return replace(self, **moved)

    def sparser(self, k: int | None = None, threshold: float | None = None) -> SAE:
        """Keep only the k largest activations of a row, or only those above a threshold.

        Raises :class:`ExplanationError` for both, and where the architecture already does the other.
        """
        if k is None and threshold is None:
            return self
        about = {**self.about, "k" if k is not None else "threshold": k if k is not None else threshold}
        if k is not None and threshold is None and self.architecture != "jumprelu":
            return replace(self, architecture="topk", k=k, about=about)
        if k is None and threshold is not None and self.architecture != "topk":
            own = torch.zeros_like(self.b_enc) if self.threshold is None else self.threshold
            return replace(self, architecture="jumprelu", threshold=own.clamp_min(threshold), about=about)
        raise ExplanationError(
            f"SAE: of a {self.architecture} SAE either k (standard, topk) or threshold (standard, jumprelu) "
            f"can be changed, got k={k}, threshold={threshold}"
        )

    def pre(self, x: Tensor) -> Tensor:
        """Pre-activations x' W_enc + b_enc [rows, d_sae] of x [rows, d_in], in one pass over them."""
        x = x - self.b_dec if self.subtract_b_dec else x
        flat = torch.addmm(self.b_enc, x.flatten(0, -2), self.W_enc)
        return flat.reshape(*x.shape[:-1], self.width)

    def encode(self, x: Tensor) -> Tensor:
        """Feature activations [rows, d_sae] of x [rows, d_in]."""
        pre = self.pre(x)
        if self.architecture == "topk":
            top = torch.relu(pre).topk(self.k or 1, dim=-1)
            return torch.zeros_like(pre).scatter(-1, top.indices, top.values)
        return torch.where(self._fires(pre), pre, pre.new_tensor(0.0))

    def _fires(self, pre: Tensor) -> Tensor:
        """Which pre-activations are let through: above 0, and above the threshold where there is one."""
        return pre > (0.0 if self.threshold is None else self.threshold.clamp_min(0.0))

    def code(self, x: Tensor) -> Code:
        """The non-zeros of :meth:`encode`, without a second pass over the dense code."""
        pre = self.pre(x)
        if self.architecture == "topk":
            part = pre.topk(self.k or 1, dim=-1).indices.sort(dim=-1).values
            value = pre.gather(-1, part)
            row, place = (value > 0).nonzero(as_tuple=True)
            return Code(row, part[row, place], value[row, place], *pre.shape)
        row, part = self._fires(pre).nonzero(as_tuple=True)
        return Code(row, part, pre[row, part], *pre.shape)

    def recipe(self) -> dict[str, object]:
        """Architecture, width and where it came from."""
        return {"architecture": self.architecture, "d_sae": self.width, **self.about}

    def decode(self, a: Tensor) -> Tensor:
        """x̂ [rows, d_in] of feature activations."""
        return a @ self.W_dec + self.b_dec


class SAESite:
    """An SAE as a dictionary of its site."""

    kind = "sae"
    open_ended = False

    def __init__(self, sae: SAE, name: str | None = None) -> None:
        self.sae, self.name = sae, name or f"SAE {sae.width}"
        self._placed = sae

    def dictionary(self) -> Dictionary:
        """Decoder rows and decoder bias."""
        return Dictionary(self.sae.W_dec, self.sae.b_dec)

    def code(self, x: Tensor) -> Code:
        """Features that fire."""
        if self._placed.W_enc.device != x.device:
            self._placed = self.sae.to(x.device)
        return self._placed.code(x)

    def recipe(self) -> dict[str, object]:
        """Architecture, width and where it came from."""
        return {"kind": self.kind, **self.sae.recipe()}


class SAEMechanism:
    """Mechanism setting: the network with the site replaced by the SAE's reconstruction.

    One part per feature: decoder row, encoder row, encoder bias (and threshold). The rest is the network
    and the decoder bias. A feature that does not fire contributes nothing (donor zero).
    """

    kind = "sae"
    donor = "zero"
    open_ended = False

    def __init__(self, sae: SAE, network: Network, name: str | None = None) -> None:
        if not sae.site:
            raise ExplanationError("an SAE as a mechanism needs to know its site (site=…)")
        self.sae, self.network, self.name = sae, network, name or f"SAE {sae.width}"
        self._rebuilt = Rebuilt(network)

    def parts(self) -> Parts:
        """Features, then the remainder."""
        sae, owner = self.sae, torch.arange(self.sae.width)
        rows = {"sae.W_dec": sae.W_dec, "sae.W_enc": sae.W_enc.T, "sae.b_enc": sae.b_enc}
        if sae.threshold is not None:
            rows["sae.threshold"] = sae.threshold
        features = [PartTensor(name, value, owner) for name, value in rows.items()]
        rest = {"sae.b_dec": sae.b_dec, **self.network.parameters()}
        return Parts(sae.width, (*features, *(one_part(n, v, sae.width) for n, v in rest.items())))

    def _received(self, restored: Mapping[str, Tensor]) -> SAE:
        """The SAE that the receiver has, in the network's precision."""
        like = self.network
        mine = {name: value for name, value in restored.items() if name.startswith("sae.")}
        own = {name.removeprefix("sae."): v.to(like.device, like.dtype) for name, v in mine.items()}
        return replace(
            self.sae,
            W_enc=own["W_enc"].T,
            W_dec=own["W_dec"],
            b_enc=own["b_enc"],
            b_dec=own["b_dec"][0],
            threshold=own.get("threshold"),
        )

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Features that fire in the network as it is sent: [data, positions, d_sae]."""
        _, seen = self._rebuilt(restored).run(x, capture=(self.sae.site,))
        fires = self._received(restored).encode(seen[self.sae.site]) > 0
        return fires if fires.ndim == 3 else fires[:, None]

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with the site told by the active features alone."""
        sae = self._received(restored)
        fires = sae.W_enc.new_tensor(0.0)

        def told(activation: Tensor) -> Tensor:
            on = active if activation.ndim == 3 else active[:, 0]
            pre = (activation - sae.b_dec if sae.subtract_b_dec else activation) @ sae.W_enc + sae.b_enc
            return sae.decode(torch.where(on, torch.relu(pre), fires))

        return self._rebuilt(restored).patched(x, {sae.site: told})

    def recipe(self) -> dict[str, object]:
        """Architecture, width and where it came from."""
        return {"kind": self.kind, "told": "encoder rows", **self.sae.recipe()}


class SAECoefficients:
    """Mechanism setting: the site is told by its features' coefficients, on each datum.

    One part per feature: its decoder row. Nothing before the site needs to be sent, so the rest is the
    decoder bias and the weights that the outputs still depend on once the site is given.
    """

    kind = "sae"
    donor = "zero"
    open_ended = False

    def __init__(self, sae: SAE, network: Network, x: Tensor, name: str | None = None) -> None:
        if not sae.site:
            raise ExplanationError("an SAE as a mechanism needs to know its site (site=…)")
        self.sae, self.network, self.name = sae.to(network.device), network, name or f"SAE {sae.width}"
        self.behind = weights_behind(network, sae.site, x[:1])
        self._rebuilt = Rebuilt(network)

    def parts(self) -> Parts:
        """Decoder rows, then the remainder."""
        own = self.network.parameters()
        rest = {"sae.b_dec": self.sae.b_dec, **{name: own[name] for name in self.behind}}
        rows = PartTensor("sae.W_dec", self.sae.W_dec, torch.arange(self.sae.width))
        return Parts(self.sae.width, (rows, *(one_part(n, v, self.sae.width) for n, v in rest.items())))

    def coefficients(self, x: Tensor) -> Tensor:
        """Feature activations [data, positions, d_sae] of the network itself."""
        _, seen = self.network.run(x, capture=(self.sae.site,))
        a = self.sae.encode(seen[self.sae.site])
        return a if a.ndim == 3 else a[:, None]

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Features with a coefficient."""
        return self.coefficients(x) != 0

    def predict_from(self, restored: Mapping[str, Tensor], x: Tensor, coefficients: Tensor) -> Tensor:
        """Run what comes after the site on the decoded features."""
        device, dtype = self.network.device, self.network.dtype
        W_dec, b_dec = (restored[name].to(device, dtype) for name in ("sae.W_dec", "sae.b_dec"))
        told = coefficients.to(W_dec) @ W_dec + b_dec[0]
        return self._rebuilt(restored).patched(x, {self.sae.site: lambda a: told.reshape(a.shape)})

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """With coefficients at full precision where active."""
        return self.predict_from(restored, x, self.coefficients(x) * active)

    def recipe(self) -> dict[str, object]:
        """Architecture, width and where it came from."""
        return {"kind": self.kind, "told": "coefficients", **self.sae.recipe()}


def weights_behind(network: Network, site: str, x: Tensor) -> tuple[str, ...]:
    """The parameters that outputs depend on once the activation at a site is given."""
    _, seen = network.run(x, capture=(site,))
    given = seen[site].detach()
    copy = network.with_weights({})
    copy.module.requires_grad_(True)
    with torch.enable_grad():
        out = copy.patched(x, {site: lambda _: given}).sum()
    weights = copy.parameters()
    found = torch.autograd.grad(out, list(weights.values()), allow_unused=True)
    return tuple(name for name, gradient in zip(weights, found, strict=True) if gradient is not None)
