"""A network and a copy that was pruned, quantised or fused: ReLU by ReLU, with certificates."""

import copy

import pytest
import torch
from assay.models import Network
from assay.proofs import claim, verify
from assay.proofs.bounds import Bounds
from assay.proofs.comparing import comparable, compared
from assay.proofs.lowering import lower
from assay.proofs.obligations import bind
from assay.proofs.replay import exact_answers, torch_answers
from assay.proofs.search import Deadline, Search
from torch import nn


class Residual(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(size, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        hidden = self.first(x)
        return self.last((hidden + self.second(hidden.relu())).relu())


def network(kind="mlp", seed=0, size=4):
    torch.manual_seed(seed)
    modules = {
        "mlp": lambda: nn.Sequential(
            nn.Linear(size, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2)
        ),
        "residual": lambda: Residual(size),
        "images": lambda: nn.Sequential(
            nn.Unflatten(1, (1, 2, 2)),
            nn.Conv2d(1, 3, 2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(27, 2),
        ),
    }
    return Network(kind, modules[kind](), "regression", "real", (size,))


def quantised(original, steps=60):
    module = copy.deepcopy(original.module)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_((p * steps).round() / steps)
    return Network("copy", module, "regression", "real", original.in_shape)


def farthest(f, g, size=4):
    x = torch.rand(20_000, size)
    with torch.no_grad():
        return float((f(x) - g(x)).abs().max())


def search_of(f, g, show="abs(f(x)[0] - g(x)[0]) <= 1", semantics="real", size=4, given=None):
    asked = claim(show, {f"x[0..{size - 1}]": "real 0..1"}, semantics=semantics, given=given)
    networks = {"f": f, "g": g}
    graphs = {name: lower(each.module, each.in_shape) for name, each in networks.items()}
    runs = torch_answers(networks, {name: each.in_shape for name, each in networks.items()})
    obligation = bind(asked, graphs)
    return Search(obligation, exact_answers(graphs), runs, Deadline(60), 1 << 30)


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("kind", ["mlp", "residual", "images"])
def test_a_rounded_copy_stays_near(kind, semantics):
    f = network(kind)
    g = quantised(f)
    most = farthest(f, g)
    for factor, status in ((4.0, "proved"), (0.9, "refuted")):
        shown = f"abs(f(x) - g(x)) <= {factor * most:.7f}"
        asked = claim(shown, {"x[0..3]": "real 0..1"}, semantics=semantics)
        (outcome,) = verify([asked], networks={"f": f, "g": g}, budget_s=20)
        assert outcome.status == status
        if status == "proved":
            assert outcome.verdict.trusted == ()
            assert kind != "mlp" or outcome.stage == "two calls compared"


@pytest.mark.parametrize("semantics", ["real", "float32"])
@pytest.mark.parametrize("seed", range(4))
def test_lines_of_twins_enclose_what_lies_between(seed, semantics):
    f = network(seed=seed)
    search = search_of(f, quantised(f, 4 + 3 * seed), semantics=semantics)
    obligation = compared(search.obligation)
    batch = Search(obligation, search.exact, search.torch_run, Deadline(60), 1 << 30).batch
    assert len(batch.pairs) == 2
    torch.manual_seed(seed)
    ends = torch.rand(5, 2, 4, dtype=torch.float64)
    lo, hi = ends.amin(1), ends.amax(1)
    bounds = Bounds(batch, lo, hi)
    for share in torch.rand(50, 4, dtype=torch.float64):
        values = batch.forward(lo + share * (hi - lo))
        for step, pairs in batch.pairs.items():
            lines = bounds.relaxation(step)
            between = values[step] - values[pairs.base] @ pairs.scales.T
            assert bool((between >= lines.base - 1e-9).all())
            assert bool((between <= lines.intercept + 1e-9).all())
            low, high = bounds.interval(bounds.source(step))
            read = values[bounds.source(step)]
            assert bool((read >= low - 1e-9).all())
            assert bool((read <= high + 1e-9).all())


def test_what_lies_between_is_known_far_better_than_either():
    f = network()
    search = search_of(f, quantised(f))
    near = Search(compared(search.obligation), search.exact, search.torch_run, Deadline(60), 1 << 30)
    tops = []
    for each in (search, near):
        form = each.obligation.counterexample.parts[1].parts[0].form
        bounds = Bounds(each.batch, each.lo[None], each.hi[None])
        tops.append(float(bounds.upper(each.batch.rows([form]))[0]) + 1)
    assert tops[1] < tops[0] / 3


@pytest.mark.parametrize(
    ("show", "other", "found"),
    [
        ("abs(f(x)[0] - g(x)[0]) <= 1", 0, True),
        ("f(x)[0] - g(x)[1] <= 1", 0, False),
        ("argmax(f(x)) == argmax(g(x))", 0, True),
        ("argmax(f(x)) == argmax(g(x))", 1, False),
        ("abs(f(x)[0] - g(x)[0]) + x[0] <= 1", 0, True),
        ("abs(f(x)[0] - g(x)[0]) <= 1", 1, False),
        ("abs(f(x)[0] - f(x)[1]) <= 1", 0, False),
    ],
)
def test_only_copies_that_meet_are_compared(show, other, found):
    f = network()
    g = quantised(f) if not other else network(seed=9)
    if "g" in show:
        assert comparable(search_of(f, g, show).obligation) is (found or "[1]" in show)
    else:
        (outcome,) = verify([claim(show, {"x[0..3]": "real 0..1"})], networks={"f": f}, budget_s=10)
        assert outcome.stage != "two calls compared"


class Stream(nn.Module):
    """Two blocks that add to a stream, as residual networks do."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.inside = nn.ModuleList([nn.Linear(4, 8) for _ in range(2)])
        self.outside = nn.ModuleList([nn.Linear(8, 4) for _ in range(2)])

    def forward(self, x):
        stream = self.first(x)
        for read, write in zip(self.inside, self.outside, strict=True):
            stream = stream + write(torch.relu(read(stream)))
        return self.last(stream)


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_copies_are_followed_through_sums_of_a_stream(semantics):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = Stream()
    copied = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.copy_((parameter * 256).round() / 256)
    networks = {n: Network(n, m, "regression", "real", (3,)) for n, m in (("f", module), ("g", copied))}
    show = " and ".join(f"abs(f(x)[{k}] - g(x)[{k}]) <= 0.05" for k in range(2))
    asked = claim(show, {"x[0..2]": "real -1..1"}, semantics=semantics, name="near")
    (outcome,) = verify([asked], networks=networks, budget_s=20)
    assert outcome.status == "proved"
    assert outcome.stage == "two calls compared"


def without(original, layer, dead):
    """A copy whose units `dead` of a hidden layer are not read any more."""
    module = copy.deepcopy(original.module)
    with torch.no_grad():
        module[layer + 2].weight[:, dead] = 0.0
    return Network("circuit", module, "regression", "real", original.in_shape)


@pytest.mark.parametrize("seed", range(3))
def test_what_never_fires_is_not_missed(seed):
    """Also where several outputs are about the largest: the circuit's are the same numbers."""
    f = network(seed=seed)
    f.module[4] = nn.Linear(12, 4)
    with torch.no_grad():
        f.module[0].bias[:5] -= 9.0
        f.module[2].bias[:4] -= 9.0
        f.module[4].bias.copy_(-f(torch.full((1, 4), 0.5))[0] + f.module[4].bias)  # all are equal there
    g = without(without(f, 0, [0, 1, 2, 3, 4]), 2, [0, 1, 2, 3])
    asked = [
        claim(show, {"x[0..3]": "real 0..1"})
        for show in ("argmax(f(x)) == argmax(g(x))", "max(f(x)) == max(g(x))")
    ]
    for outcome in verify(asked, networks={"f": f, "g": g}, budget_s=30):
        assert outcome.status == "proved"
        assert outcome.verdict.certificate is not None
