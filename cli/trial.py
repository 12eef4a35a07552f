"""``assay trial``: is what an explanation says true of the network?"""

from __future__ import annotations

from . import trial_all, trial_directions, trial_likeness, trial_parts, trial_units
from .trying import trial

__all__ = ["trial", "trial_all", "trial_directions", "trial_likeness", "trial_parts", "trial_units"]
