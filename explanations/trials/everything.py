"""Every trial of units that a network allows, in one go: figures by name, as entries of a report."""

from __future__ import annotations

from assay.models import Dataset, Network

from .claims import Claim, units_of
from .scrubbing import masks, scrub, witnesses
from .sensitivity import respond, scores, untrained_twin

LENGTH = 0.3
PREFERRED = ("hook_resid_post", "hook_post", "hook_hidden")
CLAIMED = "top:0.5"


def usual_site(network: Network) -> str:
    """The middle one of the residual stream's sites, else of an MLP's, else of all layers' outputs."""
    sites = network.sites()
    for ending in PREFERRED:
        if found := [site for site in sites if site.endswith(ending)]:
            return found[(len(found) - 1) // 2]
    layers = [site for site in sites if site.startswith("layers.")] or list(sites)
    return layers[(len(layers) - 1) // 2]


def all_trials(
    network: Network, dataset: Dataset, site: str | None = None, seed: int = 0
) -> dict[str, float]:
    """Scrubbing, masks, witnesses and sensitive directions, with their controls.

    The claim tried is that the upper half of a site's units by attribution matters. Controls:
    ``control_everything`` (divergence, 0), ``control_untrained`` (how far directions differ in a network with
    fresh weights: largest over smallest divergence).
    """
    site = site or usual_site(network)
    x = dataset.inputs
    half = {site: units_of(network, x, site, CLAIMED)}
    done = scrub(network, x, Claim(half), dataset.labels, seed)
    joint = scrub(network, x, Claim(half, joint=True), dataset.labels, seed)
    tried = masks(network, x, Claim(half), seed, draws=4, steps=8)
    seen = witnesses(network, x[: max(2, len(x) // 4)], Claim(half), seed)
    whole = Claim({site: units_of(network, x, site, "all")})
    found = {f"scrub_{key}": value for key, value in done.readings().items()}
    found |= {
        "scrub_joint_divergence": joint.mean,
        "masks_random": tried.random_worst,
        "masks_adversary": tried.adversary,
        "units_needed": sum(w.needed for w in seen) / max(len(seen), 1),
        "control_everything": scrub(network, x, whole, dataset.labels, seed).mean,
    }
    return found | _directions(network, dataset, site, seed)


def _directions(network: Network, dataset: Dataset, site: str, seed: int) -> dict[str, float]:
    x = dataset.inputs
    own = respond(network, x, site, lengths=(LENGTH,), seed=seed)
    twin = respond(untrained_twin(network, seed), x, site, lengths=(LENGTH,), seed=seed)
    flat = [r.mean(LENGTH) for r in twin]
    found = {f"sensitivity_{s.name.replace(' ', '_')}": s.ratio for s in scores(own, LENGTH)}
    return found | {"control_untrained": max(flat) / max(min(flat), 1e-30)}
