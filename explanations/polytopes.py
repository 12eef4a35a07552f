"""ReLU activation patterns: a piecewise-linear network is affine on each polytope of its input space.

In the mechanism setting each pattern of the data is a part: the affine map y = A x + b of its region, exact
on the whole polytope (Black et al. 2022, arXiv 2211.12312).  At a site each pattern is a part, too: the mean
activation of the rows that show it, with coefficient 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from assay.mdl import Code, Dictionary, Parts, PartTensor
from assay.models import Network, Superposition
from assay.models.units import unit_sites
from torch import Tensor

from .errors import ExplanationError

MOST_NUMBERS = 2 * 10**8


class Polytopes:
    """One part for each activation pattern that the data show: the affine map of its region."""

    kind = "polytopes"
    donor = "zero"

    def __init__(self, network: Network, inputs: Tensor, name: str = "polytopes") -> None:
        self.network, self.name = network, name
        rectified = isinstance(network.module, Superposition)
        self.sites = ("hook_out",) if rectified else unit_sites(network)
        if network.input == "token" or len(network.in_shape) != 1 or not self.sites:
            raise ExplanationError(
                f"polytopes: {network.name!r} is no network of ReLU neurons on a vector of real numbers"
            )
        patterns = self._patterns(inputs)
        self._index, first = _numbered(patterns)
        self.open_ended = _goes_on(patterns)
        width = network(inputs[:1]).shape[-1]
        if (numbers := len(first) * width * (inputs.shape[1] + 1)) > MOST_NUMBERS:
            raise ExplanationError(
                f"polytopes: {len(first)} affine maps of {numbers} numbers are too many to write down; "
                "use fewer data (--limit)"
            )
        self._slopes, self._offsets = self._maps(inputs[first].double())
        self._check(inputs.double())

    def _patterns(self, x: Tensor) -> Tensor:
        """Which neurons are on: Boolean [data, neurons]."""
        _, seen = self.network.run(x, capture=self.sites)
        return torch.cat([seen[site] > 0 for site in self.sites], dim=-1)

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A [data, width, d] and b [data, width] of the regions of inputs, in float64."""
        network = self.network.to(dtype=torch.float64)
        with torch.enable_grad():
            leaf = x.clone().requires_grad_()
            y = network(leaf)
            rows = [torch.autograd.grad(y[:, i].sum(), leaf, retain_graph=True)[0] for i in range(y.shape[1])]
        A = torch.stack(rows, dim=1)
        return A, y.detach() - (A @ x[..., None])[..., 0]

    def _check(self, x: Tensor) -> None:
        """Every datum of a region must obey its map, which was found at the first of them."""
        y = self.network.to(dtype=torch.float64)(x)
        told = self.predict({"A": self._slopes, "b": self._offsets}, x, self.active({}, x))
        if float((told - y).abs().max()) > 1e-6 * float(y.abs().max()):
            raise ExplanationError(f"polytopes: {self.network.name!r} is not affine where its neurons rest")

    def parts(self) -> Parts:
        """The maps, one owner for each pattern."""
        owner = torch.arange(len(self._slopes))
        slopes, offsets = PartTensor("A", self._slopes, owner), PartTensor("b", self._offsets, owner)
        return Parts(len(owner), (slopes, offsets))

    def active(self, restored: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The one pattern of each datum: Boolean [data, 1, patterns]."""
        found = [self._index[key] for key in _keys(self._patterns(x))]
        on = torch.nn.functional.one_hot(torch.tensor(found, device=x.device), len(self._slopes))
        return on.bool()[:, None]

    def predict(self, restored: Mapping[str, Tensor], x: Tensor, active: Tensor) -> Tensor:
        """A x + b of the region that was told."""
        region = active[:, 0].int().argmax(-1)
        A, b = (restored[name].to(x.device)[region] for name in ("A", "b"))
        y: Tensor = (A @ x.double()[..., None])[..., 0] + b
        return y

    def recipe(self) -> dict[str, object]:
        """How many regions the data lie in."""
        return {"kind": self.kind, "regions": len(self._slopes)}


class PatternCodebook:
    """Site setting: the signs of a row choose the mean of all rows with these signs."""

    kind = "polytopes"

    def __init__(self, x: Tensor, name: str = "polytopes") -> None:
        self.name, self.open_ended = name, _goes_on(x > 0)
        self._index, _ = _numbered(x > 0)
        region = self._regions(x)
        counts = torch.bincount(region, minlength=len(self._index)).double()
        sums = torch.zeros(len(self._index), x.shape[1], dtype=torch.float64, device=x.device)
        self.rows = (sums.index_add_(0, region, x.double()) / counts[:, None]).cpu()

    def _regions(self, x: Tensor) -> Tensor:
        return torch.tensor([self._index[key] for key in _keys(x > 0)], device=x.device)

    def dictionary(self) -> Dictionary:
        """The means."""
        return Dictionary(self.rows, torch.zeros(self.rows.shape[1]))

    def code(self, x: Tensor) -> Code:
        """One part a row, with coefficient 1."""
        row, ones = torch.arange(len(x), device=x.device), torch.ones(len(x), dtype=torch.float64)
        return Code(row, self._regions(x), ones.to(x.device), len(x), len(self.rows))

    def recipe(self) -> dict[str, object]:
        """How many patterns there are."""
        return {"kind": self.kind, "patterns": len(self.rows)}


def _numbered(patterns: Tensor) -> tuple[dict[bytes, int], list[int]]:
    """Every distinct row of Booleans with its number, and where it comes first."""
    index: dict[bytes, int] = {}
    first = []
    for i, key in enumerate(_keys(patterns)):
        if key not in index:
            index[key] = len(index)
            first.append(i)
    return index, first


def _goes_on(patterns: Tensor) -> bool:
    """Whether new data go on bringing new patterns: most patterns were seen once (Good and Turing)."""
    counts = torch.unique(patterns, dim=0, return_counts=True)[1]
    return int((counts == 1).sum()) * 2 > len(counts)


def _keys(patterns: Tensor) -> list[bytes]:
    return [row.tobytes() for row in patterns.cpu().numpy()]
