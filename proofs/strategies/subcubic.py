"""The sub-cubic proof as it was released (Gross et al. 2024, section 4.3): refused, with its counterexample.

It splits attention w into its mean over queries, w0, and w - w0, so that no step is about query, maximum and
output at once:

    max_j (b_j + w x_j) <= max_j (b_j + w0 x_j) + (w - w0) · max_j x_j,

for both signs of w - w0. That is false: a negative difference needs min_j (rule `mean and difference`). Ours,
"sub-cubic", has no need of the step: what is common to all queries moves into EV (`.paths`), so b is zero,
and w times a maximum is the maximum.
"""

from __future__ import annotations

from .bounding import Semantics
from .costs import Meter
from .max_of_k import Shape
from .numerator_strategy import Numerators
from .rules import UnsoundRule, refuted
from .strategy import Subject

__all__ = ["ReleasedSubCubic"]


class ReleasedSubCubic:
    """What follows from a false rule is refused."""

    name = "sub-cubic-released"
    argument = "mean and difference, as released"
    semantics: tuple[Semantics, ...] = ("real", "float32")

    def cost(self, shape: Shape) -> int:
        """As long as the sound form."""
        return _SOUND.cost(shape)

    def unexplained(self, shape: Shape) -> int:
        """Those of the sound form."""
        return _SOUND.unexplained(shape)

    def certified(self, subject: Subject, meter: Meter) -> int:
        """Raises `UnsoundRule`, with the counterexample."""
        raise UnsoundRule(self.argument, refuted(self.argument))


_SOUND = Numerators("split", "together", "threshold", "prefixes")
