"""Hook points: the named places of a network where activations are read or replaced.

A hook point is a module that passes its input on unchanged.  Its path inside the network *is* its name, so a
plain torch forward hook on ``blocks.0.mlp.hook_post`` sees what TransformerLens calls by that name.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["HookPoint"]


class HookPoint(nn.Module):
    """Passes a tensor on unchanged; exists to be hooked."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` itself."""
        return x
