"""Trials: is an explanation true, and what is it good for?

Interventions (:func:`scrub`, :func:`masks`, :func:`witnesses`), rewrites, sensitive directions, capacity, and
recovery of a known truth. Each has a control that must come out as stated; see docs/trials.md.
"""

from .capacity import CapacityBound, bit_shares, capacities, exact_bound, optimal_capacities
from .claims import Claim, Subjects
from .divergence import Sufficiency, divergences, sufficiency
from .parts import PartTrial, try_parts
from .recovery import Areas, EdgesFound, RouterGeometry, areas, cka, edges_found, router_geometry, rsa, shrunk
from .rewrites import Projected, project_out, rewrite
from .scrubbing import Removal, Supersets, Witness, masks, necessity_in_bits, scrub, witnesses
from .sensitivity import BASELINES, Response, Sensitivity, along, error_of, respond, scores, untrained_twin

__all__ = [
    "BASELINES",
    "Areas",
    "CapacityBound",
    "Claim",
    "EdgesFound",
    "PartTrial",
    "Projected",
    "Removal",
    "Response",
    "RouterGeometry",
    "Sensitivity",
    "Subjects",
    "Sufficiency",
    "Supersets",
    "Witness",
    "along",
    "areas",
    "bit_shares",
    "capacities",
    "cka",
    "divergences",
    "edges_found",
    "error_of",
    "exact_bound",
    "masks",
    "necessity_in_bits",
    "optimal_capacities",
    "project_out",
    "respond",
    "rewrite",
    "router_geometry",
    "rsa",
    "scores",
    "scrub",
    "shrunk",
    "sufficiency",
    "try_parts",
    "untrained_twin",
    "witnesses",
]
