"""What strategies about max-of-K are applied to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from assay.models import Network

from .bounding import AnyStrategy, Semantics
from .max_of_k import MaxOfK, Shape, read
from .paths import Paths, Rank, paths
from .rounding import Slack

__all__ = ["Strategy", "Subject"]


@dataclass(frozen=True)
class Subject:
    """A network, read as max-of-K, and the arithmetic that is claimed about.

    Semantics "real" is exact arithmetic on the stored weights; "float32" whatever torch computes, in any
    order of summation (see `.rounding`).
    """

    network: Network
    semantics: Semantics = "real"

    @cached_property
    def model(self) -> MaxOfK:
        """The weights.  Raises `InputError`."""
        return read(self.network)

    @cached_property
    def _multiplied(self) -> dict[tuple[Rank, Rank], Paths]:
        return {}

    def tables(self, QK: Rank = "full", EU: Rank = "full") -> Paths:
        """The products along the paths, or bounds on them by low rank.  Raises `InputError`."""
        ranks = QK, EU
        if ranks not in self._multiplied:
            self._multiplied[ranks] = paths(self.model, QK, EU, self.semantics == "float32")
        return self._multiplied[ranks]

    @property
    def paths(self) -> Paths:
        """All products in full.  Raises `InputError`."""
        return self.tables()

    @property
    def slack(self) -> Slack:
        """What the arithmetic may be off by.  Raises `InputError`."""
        return self.paths.slack

    @property
    def shape(self) -> Shape:
        """The sizes."""
        return self.model.shape


Strategy = AnyStrategy[Subject, Shape]
"""What a plug-in is (see `.bounding`)."""
