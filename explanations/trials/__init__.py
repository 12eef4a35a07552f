"""Trials: is an explanation true, and what is it good for?

Interventions (:func:`scrub`, :func:`masks`, :func:`witnesses`), rewrites, sensitive directions, capacity, and
recovery of a known truth. Each has a control that must come out as stated; see docs/trials.md.
"""

from .capacity import (
    MessageShares,
    bit_shares,
    capacities,
    message_shares,
    optimal_capacities,
    quadratic_loss,
    train_quadratic,
)
from .claims import Claim, Subjects
from .divergence import Sufficiency, divergences, sufficiency
from .likeness import dense_code, faithfulness, same_edges
from .parts import PartTrial, try_parts
from .recovery import Areas, EdgesFound, RouterGeometry, areas, cka, edges_found, router_geometry, rsa, shrunk
from .rewrites import Projected, project_out, rewrite
from .scrubbing import Removal, Supersets, Witness, masks, necessity_in_bits, scrub, witnesses
from .sensitivity import BASELINES, Response, Sensitivity, along, error_of, respond, scores, untrained_twin
from .usage import UsageTrial, WeightTrial, sets_of_code, sets_of_mechanism, try_usage, try_weights

__all__ = [
    "BASELINES",
    "Areas",
    "Claim",
    "EdgesFound",
    "MessageShares",
    "PartTrial",
    "Projected",
    "Removal",
    "Response",
    "RouterGeometry",
    "Sensitivity",
    "Subjects",
    "Sufficiency",
    "Supersets",
    "UsageTrial",
    "WeightTrial",
    "Witness",
    "along",
    "areas",
    "bit_shares",
    "capacities",
    "cka",
    "dense_code",
    "divergences",
    "edges_found",
    "error_of",
    "faithfulness",
    "masks",
    "message_shares",
    "necessity_in_bits",
    "optimal_capacities",
    "project_out",
    "quadratic_loss",
    "respond",
    "rewrite",
    "router_geometry",
    "rsa",
    "same_edges",
    "scores",
    "scrub",
    "sets_of_code",
    "sets_of_mechanism",
    "shrunk",
    "sufficiency",
    "train_quadratic",
    "try_parts",
    "try_usage",
    "try_weights",
    "untrained_twin",
    "witnesses",
]
