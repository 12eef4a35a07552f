"""An SAE as a mechanism: the network with a site replaced by the SAE's reconstruction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from assay.explanations.errors import ExplanationError
from assay.explanations.rebuilt import Rebuilt
from assay.mdl import Combination, Parts, PartTensor, one_part
from assay.models import Network
from torch import Tensor

from .coefficients import coefficients, dictionary
from .meta import combination, meta_recipe
from .router import Router
from .weights import SAE


class SAEMechanism:
    """Mechanism setting: the network with the site replaced by the SAE's reconstruction.

    One part per feature: decoder row, encoder row, encoder bias (and threshold). The rest is the network,
    the decoder bias and, of a switch SAE, the router. A feature that does not fire contributes nothing (donor
    zero). The receiver computes the scale of its rows itself. With ``meta``, an SAE on decoder rows, these
    are told through its rows where that is shorter.
    """

    kind = "sae"
    donor = "zero"
    open_ended = False

    def __init__(self, sae: SAE, network: Network, name: str | None = None, meta: SAE | None = None) -> None:
        _check(sae)
        self.sae, self.network, self.name = sae, network, name or f"SAE {sae.width}"
        self.meta, self._through = meta, None if meta is None else combination(sae.W_dec, meta)
        self._rebuilt = Rebuilt(network)

    def parts(self) -> Parts:
        """Features, then the remainder."""
        features, rest = feature_tensors("sae", self.sae, torch.arange(self.sae.width), self._through)
        rest |= self.network.parameters()
        remainder = (one_part(name, value, self.sae.width) for name, value in rest.items())
        return Parts(self.sae.width, (*features, *remainder))

    def _received(self, restored: Mapping[str, Tensor]) -> SAE:
        return received("sae", self.sae, restored, self.network)

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Features that fire in the network as it is sent: [data, positions, d_sae]."""
        _, seen = self._rebuilt(restored).run(x, capture=(self.sae.site,))
        sae = self._received(restored)
        return by_position(sae.encode(as_rows(seen[sae.site], sae.d_in)) != 0)

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """Run the network with the site told by the active features alone."""
        sae = self._received(restored)

        def told(activation: Tensor) -> Tensor:
            rows = as_rows(activation, sae.d_in)
            return sae.told(rows, active if rows.ndim == 3 else active[:, 0]).reshape(activation.shape)

        return self._rebuilt(restored).patched(x, {sae.site: told})

    def recipe(self) -> dict[str, object]:
        """Architecture, width and where it came from."""
        return {"kind": self.kind, "told": "encoder rows", **self.sae.recipe(), **meta_recipe(self.meta)}


class SAECoefficients:
    """Mechanism setting: the site is told by its features' coefficients, on each datum.

    One part per feature: its decoder row; where rows are normalised, the scale and the mean are parts as in
    the site setting. Nothing before the site needs to be sent, so the rest is the decoder bias and the
    weights that the outputs still depend on once the site is given. Of a switch SAE neither encoder nor
    router is sent. ``meta`` as above.
    """

    kind = "sae"
    donor = "zero"
    open_ended = False

    def __init__(
        self, sae: SAE, network: Network, x: Tensor, name: str | None = None, meta: SAE | None = None
    ) -> None:
        _check(sae)
        self.sae, self.network, self.name = sae.to(network.device), network, name or f"SAE {sae.width}"
        self.behind = weights_behind(network, sae.site, x[:1])
        self._dictionary = dictionary(self.sae)
        self.meta, self._through = meta, None
        if meta is not None and self._dictionary.rows is not None:
            self._through = combination(self._dictionary.rows, meta)
        self._rebuilt = Rebuilt(network)

    def parts(self) -> Parts:
        """Decoder rows, then the remainder."""
        own, told = self.network.parameters(), self._dictionary
        rest = {"sae.b_dec": told.bias, **{name: own[name] for name in self.behind}}
        assert told.rows is not None
        rows = PartTensor("sae.W_dec", told.rows, torch.arange(told.parts), through=self._through)
        return Parts(told.parts, (rows, *(one_part(n, v, told.parts) for n, v in rest.items())))

    def coefficients(self, x: Tensor) -> Tensor:
        """Coefficients [data, positions, parts] of the network itself."""
        _, seen = self.network.run(x, capture=(self.sae.site,))
        rows = as_rows(seen[self.sae.site], self.sae.d_in)
        code = coefficients(self.sae, rows.flatten(0, -2))
        dense = rows.new_zeros(code.rows, code.parts)
        dense[code.row, code.part] = code.value
        return by_position(dense.reshape(*rows.shape[:-1], code.parts))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Parts with a coefficient."""
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
        return {"kind": self.kind, "told": "coefficients", **self.sae.recipe(), **meta_recipe(self.meta)}


def _check(sae: SAE) -> None:
    if not sae.site:
        raise ExplanationError("an SAE as a mechanism needs to know its site (site=…)")
    if sae.d_in != sae.d_out:
        raise ExplanationError(
            f"the SAE reads {sae.d_in} coordinates and writes {sae.d_out}: use transcoder:… for it"
        )


def feature_tensors(
    prefix: str, sae: SAE, owner: Tensor, through: Combination | None = None
) -> tuple[list[PartTensor], dict[str, Tensor]]:
    """What belongs to the features, slice f to the part ``owner[f]``, and what belongs to none."""
    rows: dict[str, Tensor] = {}
    if sae.pursuit is None:
        rows |= {"W_enc": sae.W_enc.T, "b_enc": sae.b_enc}
    if sae.threshold is not None:
        rows["threshold"] = sae.threshold
    features = [PartTensor(f"{prefix}.W_dec", sae.W_dec, owner, through=through)]
    features += [PartTensor(f"{prefix}.{name}", value, owner) for name, value in rows.items()]
    rest = {f"{prefix}.b_dec": sae.b_dec}
    if sae.router is not None:
        rest |= {f"{prefix}.router.W": sae.router.W, f"{prefix}.router.b": sae.router.b}
    return features, rest


def received(prefix: str, sae: SAE, restored: Mapping[str, Tensor], like: Network) -> SAE:
    """The SAE that the receiver has, in the network's precision."""
    start = f"{prefix}."
    mine = {name: value for name, value in restored.items() if name.startswith(start)}
    own = {name.removeprefix(start): v.to(like.device, like.dtype) for name, v in mine.items()}
    router = None
    if sae.router is not None:
        router = Router(own["router.W"][0], own["router.b"][0], sae.router.hard)
    if sae.pursuit is not None:  # it has no encoder of its own
        own |= {"W_enc": own["W_dec"], "b_enc": own["W_dec"].new_zeros(sae.width)}
    given = {"W_enc": own["W_enc"].T, "b_dec": own["b_dec"][0]}
    given |= {name: own[name] for name in ("W_dec", "b_enc", "threshold") if name in own}
    return sae.with_tensors(given, router)


def as_rows(activation: Tensor, d_in: int) -> Tensor:
    """An activation [b, (p,) …] with its last axes joined to d_in: hook_z [b, p, heads, d_head] for one."""
    while activation.ndim > 2 and activation.shape[-1] < d_in:
        activation = activation.flatten(-2)
    return activation


def by_position(a: Tensor) -> Tensor:
    """[data, parts] as [data, 1, parts]."""
    return a if a.ndim == 3 else a[:, None]


def weights_behind(network: Network, site: str, x: Tensor) -> tuple[str, ...]:
    """The weights that outputs depend on once the activation at a site is given."""
    _, seen = network.run(x, capture=(site,))
    given = seen[site].detach()
    return weights_used(network, lambda copy: copy.patched(x, {site: lambda _: given}))


def weights_used(network: Network, run: Callable[[Network], Tensor]) -> tuple[str, ...]:
    """The weights that the outputs of ``run`` on a copy of the network depend on.

    Parameters are found by their gradients. Buffers may have none (running statistics do not): each is
    changed in turn, to other numbers and to NaN, which gets through where a ReLU is off.
    """
    copy = network.with_weights({})
    copy.module.requires_grad_(True)
    with torch.enable_grad():
        out = run(copy)
        total = out.sum()
    weights = copy.parameters()
    trained = [name for name, weight in weights.items() if weight.requires_grad]
    gradients = torch.autograd.grad(total, [weights[name] for name in trained], allow_unused=True)
    used = {name for name, gradient in zip(trained, gradients, strict=True) if gradient is not None}
    for name in weights.keys() - set(trained):
        changes = (2 * weights[name] + 1, weights[name] * torch.nan)
        if not all(torch.equal(run(network.with_weights({name: other})), out) for other in changes):
            used.add(name)
    return tuple(name for name in weights if name in used)
