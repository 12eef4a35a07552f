"""Norms, distances, orders and products of numbers against torch: exact values, enclosures and proofs."""

import pytest
import torch
from assay.models import Network
from assay.proofs import claim, verify
from assay.proofs.lowering import UnsupportedError, lower
from torch import nn
from torch.nn import functional

from tests.proofs.agreement import (
    Function,
    bounds_of,
    encloses_float32,
    encloses_in_the_checker,
    exactly_as_torch,
)


def called(function, *shape):
    """A module that calls a function of its input, and of a parameter where a shape of one is told."""
    return lambda: Function(function, *shape)


def _extremes(x):
    return x.min(-1, keepdim=True).values - torch.min(x, x.flip(1)) + x.amin((1, 2), True)


def _ordered(x):
    return x.sort(-1).values * 2 + x.sort(1, descending=True)[0] - torch.msort(x.T).T


def _hidden(x):
    mask = torch.tensor([False, True, False, False])
    low, high = x.masked_fill(mask, -torch.inf), x.masked_fill(mask, torch.inf)
    return torch.stack([low.amax(1), low.max(-1)[0], high.amin(1), torch.minimum(high, x).sum(1)], 1)


def _ranks(x, w):
    return torch.stack([x.median(-1)[0], x.kthvalue(3, 1).values, x.quantile(0.3, 1) * w], 1)


def _bounded(x, w):
    return x.clamp(min=w) + x.clamp(w - 1, w) + torch.fmin(x, w).clamp(max=w.abs())


def _matrices(x, w):
    wide = torch.kron(w, torch.ones(1, 2, dtype=w.dtype))
    return torch.baddbmm(w, x, x, beta=0.5, alpha=2) @ wide


def _between(x, w):
    return torch.lerp(x, 2 * x + 1, 0.7) + torch.lerp(x, w, x) + torch.lerp(x, w, 0.3)


def _variances(x):
    return torch.cat([*torch.var_mean(x, 1), *torch.std_mean(x, 1, correction=0)], 1)


def _deviations(x):
    return x.std(-1, keepdim=True) + x.std((1, 2), correction=0, keepdim=True)


def _sums_of_products(x, w):
    return x.addcmul(x, w, value=0.3) + torch.addcdiv(w, x, x * x + 1, value=-2.0)


def _outer(x, w):
    return torch.einsum("bi,bj,k->bijk", x, x, torch.addr(w, w[0], w[1])[0])


def _finite(x):
    return x.nan_to_num(nan=1.0) + torch.full_like(x, torch.inf).nan_to_num(posinf=2.0)


def _lengths(x):
    return torch.stack([x.norm(dim=-1), x.norm(p=1, dim=-1), x.norm(p=torch.inf, dim=-1)], 1)


def _normalised(x):
    return functional.normalize(x, dim=-1) + functional.normalize(x, 1, -1)


def _cosine(x, w):
    return functional.cosine_similarity(x[:, None], w, dim=-1)


def _distances(x, w):
    return torch.cdist(x, w.expand(len(x), -1, -1)).flatten(1)


def _other_distances(x):
    return torch.cdist(x, 2 * x + 1, p=1) - torch.cdist(x, -x, p=torch.inf)


NORMS = {
    "group norm": (lambda: nn.GroupNorm(2, 4), (4, 3)),
    "instance norm": (lambda: nn.InstanceNorm1d(2, affine=True), (2, 3)),
    "instance norm as kept": (lambda: nn.InstanceNorm2d(2, track_running_stats=True), (2, 1, 2)),
    "batch norm": (lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), (3,)),
    "batch norm of space": (lambda: nn.BatchNorm3d(2), (2, 1, 1, 2)),
    "lengths": (called(_lengths), (3,)),
    "length of a matrix": (called(lambda x: torch.linalg.norm(x, dim=(1, 2), keepdim=True)), (2, 2)),
    "least size": (called(lambda x: torch.linalg.vector_norm(x, -torch.inf, dim=1, keepdim=True)), (3,)),
    "normalised": (called(_normalised), (3,)),
    "cosine": (called(_cosine, 2, 3), (3,)),
    "pairwise": (called(lambda x, w: functional.pairwise_distance(x[:, None], w), 2, 3), (3,)),
    "distances": (called(_distances, 3, 2), (2, 2)),
    "other distances": (called(_other_distances), (2, 2)),
    "deviations": (called(_deviations), (2, 3)),
    "variances": (called(_variances), (3, 2)),
}
ORDERS = {
    "minima": (called(_extremes), (2, 3)),
    "sorted": (called(_ordered), (5,)),
    "the largest": (called(lambda x: torch.cat([x.topk(2).values, x.topk(1, largest=False)[0]], 1)), (4,)),
    "medians": (called(_ranks, 1), (4,)),
    "running": (called(lambda x: x.cummax(1).values + x.cummin(-1)[0] * 3), (4,)),
    "some hidden": (called(_hidden), (4,)),
    "both ends": (called(lambda x: torch.stack(torch.aminmax(x, dim=1), 1)), (3,)),
    "bounded by tensors": (called(_bounded, 3), (3,)),
}
COMPOUNDS = {
    "product": (called(lambda x: x.prod(-1, keepdim=True)), (4,)),
    "products": (called(lambda x: x.cumprod(1)), (4,)),
    "between": (called(_between, 3), (3,)),
    "sums of products": (called(_sums_of_products, 3), (3,)),
    "matrices": (called(_matrices, 2, 2), (2, 2)),
    "outer": (called(_outer, 2, 2), (2,)),
    "cross": (called(lambda x, w: torch.cross(x, w.expand_as(x), dim=-1), 3), (3,)),
    "shrunk": (
        lambda: nn.Sequential(
            nn.Linear(3, 3), nn.Softshrink(0.3), nn.RReLU(), nn.Tanhshrink(), nn.Softmin(1)
        ),
        (3,),
    ),
    "finite": (called(_finite), (2,)),
    "hypotenuse": (called(lambda x, w: torch.hypot(x, w), 3), (3,)),
    "powers": (called(lambda x: (x * x + 0.5) ** 0.75 - x**11 / 2**24 + (x * x + 1) ** -2.5), (3,)),
    "responses": (lambda: nn.Sequential(nn.Conv1d(3, 3, 1), nn.LocalResponseNorm(2)), (3, 2)),
    "a cell": (lambda: nn.GRUCell(3, 2), (3,)),
    "complement": (called(lambda x: x.erfc() + x.nansum(-1, keepdim=True)), (2,)),
    "hyperbolic": (called(lambda x: x.cosh() - x.sinh()), (3,)),
    "log add": (called(lambda x, w: torch.logaddexp(x, w) + torch.logit(x.sigmoid()), 3), (3,)),
}
REAL = {
    "log sums": (called(lambda x: x.logcumsumexp(1)), (4,)),
    "determinant": (
        called(lambda x: torch.linalg.det(x)[:, None] + torch.det(x[:, :2, 1:])[:, None]),
        (3, 3),
    ),
    "inverse": (called(lambda x: torch.linalg.inv(x * x + 3 * torch.eye(2))), (2, 2)),
}
EVERY = {**NORMS, **ORDERS, **COMPOUNDS}


@pytest.mark.parametrize("rounding", [False, True], ids=["real", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_the_exact_form_computes_what_torch_computes(name, rounding):
    assert exactly_as_torch(*EVERY[name], rounding)


@pytest.mark.parametrize("name", REAL)
def test_what_has_an_exact_form_over_the_reals_alone(name):
    assert exactly_as_torch(*REAL[name], False)
    make, shape = REAL[name]
    with pytest.raises(UnsupportedError, match=r"float32|over the reals"):
        lower(make(), shape, rounding=True)


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("name", EVERY)
def test_what_torch_computes_lies_in_the_bounds_of_the_checker(name, semantics):
    assert encloses_in_the_checker(*EVERY[name], semantics) < 0.05


@pytest.mark.parametrize("name", EVERY)
def test_what_torch_computes_in_float32_lies_in_the_bounds(name):
    assert encloses_float32(*EVERY[name], 2.0) < 0.05


LAYER = {
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2)),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(2, 2)),
    "old spectral norm": lambda: nn.utils.spectral_norm(nn.Linear(2, 2)),
}


@pytest.mark.parametrize("make", LAYER.values(), ids=LAYER)
def test_weights_that_are_computed_are_to_be_baked_in(make):
    module = nn.Sequential(make().eval(), nn.ReLU())
    with pytest.raises(
        UnsupportedError, match=r"weight is computed from other tensors.*bake it in"
    ) as caught:
        lower(module, (2,))
    assert [fault.where for fault in caught.value.faults] == ["0"]
    if nn.utils.parametrize.is_parametrized(module[0]):
        nn.utils.parametrize.remove_parametrizations(module[0], "weight")
        assert lower(module, (2,)).outputs == 2


def test_other_parametrizations_are_followed():
    class Symmetric(nn.Module):
        def forward(self, w):
            return w.triu() + w.triu(1).mT

    def make():
        layer = nn.Linear(3, 3)
        nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
        return layer

    assert exactly_as_torch(make, (3,), False)
    assert encloses_float32(make, (3,)) < 1e-3


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda x: x.sort(-1).indices + x, "does not run"),
        (lambda x: x.topk(2, sorted=False).values, "order that is not told"),
        (lambda x: x.unsqueeze(1).squeeze_(1), "in place"),
        (lambda x: x.norm(p=3, dim=-1, keepdim=True), "order 3"),
        (lambda x: torch.cdist(x, torch.ones(1, 3), compute_mode="use_mm_for_euclid_dist"), "multiplied out"),
        (lambda x: functional.rrelu(x, training=True), "at random"),
        (lambda x: x + torch.rand(3), "random numbers"),
        (lambda x: x / x.numel(), "alone than in a batch"),
        (lambda x: x if len(x) > 1 else -x, "alone than in a batch"),
        (lambda x: x**0.3, "only quarters"),
        (lambda x: 2**x, "a power that depends"),
    ],
)
def test_what_has_no_exact_form_is_told(function, told):
    with pytest.raises(UnsupportedError, match=told):
        lower(Function(function), (3,), rounding=True)


def test_products_may_lose_what_is_too_small_on_the_way():
    """Of 2⁻⁸⁰ 2⁻⁸⁰ 2⁸⁰ 2⁸⁰, which is 1, any order makes a number between 0 and inf."""
    x = torch.tensor([[2.0**-80, 2.0**-80, 2.0**80, 2.0**60]], dtype=torch.float64)
    low, high = bounds_of(Function(lambda x: x.prod(-1, keepdim=True)), (4,), True, x, x)
    assert float(low) <= 0 < 2.0**-20 < float(high)


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize(
    ("function", "show"),
    [
        (lambda x: x.sort(-1).values, "f(x)[0] <= f(x)[1] + 1e-3 and f(x)[2] <= 1.01"),
        (lambda x: x.median(-1, keepdim=True)[0], "f(x)[0] <= 1.01"),
        (lambda x: functional.normalize(x + 2, dim=-1), "max(f(x)) <= 0.8"),
        (lambda x: torch.cdist(x[:, None], torch.zeros(1, 1, 3), p=1)[:, 0], "f(x)[0] <= 3.1"),
        (lambda x: x.prod(-1, keepdim=True), "abs(f(x)[0]) <= 1.01"),
    ],
    ids=["sorted", "median", "normalised", "distance", "product"],
)
def test_claims_about_them_are_proved(function, show, semantics, tmp_path):
    network = Network("f", Function(function), "regression", "real", (3,))
    asked = claim(show, {"x[0..2]": "real -1/8..1/8"}, semantics=semantics)
    (outcome,) = verify([asked], networks={"f": network}, certificates=tmp_path, budget_s=20)
    assert outcome.status == "proved"
    assert outcome.verdict.trusted == ()
