import time
from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.proofs import InputError, Proved, Refuted, Unknown, claim, verify
from torch import nn

PAIR = {"x1": "integer 0..1000000", "x2": "integer 0..1000000"}


def one(show, variables, network, **options):
    budget = options.pop("budget_s", 20.0)
    (outcome,) = verify([claim(show, variables, **options)], networks={"f": network}, budget_s=budget)
    return outcome


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_equal_inputs_cancel_on_all_pairs(distance, semantics):
    one("abs(f(x1, x2)[0]) <= 1", {"x1": "integer 0..1", "x2": "integer 0..1"}, distance)  # warm
    start = time.perf_counter()
    outcome = one("abs(f(x1, x2)[0]) <= 1e-6", PAIR, distance, given="x1 == x2", semantics=semantics)
    assert time.perf_counter() - start < 10
    assert isinstance(outcome.verdict, Proved)
    assert outcome.verdict.trusted == ()
    assert outcome.lengths.list_inputs == 10**6 + 1
    assert outcome.lengths.box_inputs == (10**6 + 1) ** 2
    assert outcome.lengths.operations * 1000 < outcome.lengths.list_operations


def test_without_the_condition_a_counterexample_is_replayed(distance):
    verdict = one("abs(f(x1, x2)[0]) <= 1e-6", PAIR, distance).verdict
    assert isinstance(verdict, Refuted)
    assert verdict.certificate is not None
    x1, x2 = (int(verdict.witness.inputs[name]) for name in ("x1", "x2"))
    assert abs(distance(torch.tensor([[x1, x2]]))).item() > 1e-6


def test_the_real_comparator(tmp_path):
    (tmp_path / "c.toml").write_text(
        'model = "zoo:comparator"\n'
        "[[claim]]\n"
        'for = { x1 = "integer 0..1000000", x2 = "integer 0..1000000" }\n'
        'given = "x1 == x2"\n'
        'show = "abs(f(x1, x2)[0]) <= 1e-6"\n'
    )
    (outcome,) = verify(tmp_path / "c.toml", certificates=tmp_path / "certificates")
    assert outcome.status == "proved"
    assert outcome.verdict.certificate.path.exists()


def test_the_boolean_network_computes_its_circuit():
    circuit = "(x[0] != x[1] and (x[2] == 1 or x[3] == 0)) or (x[4] == 1 and x[5] == 1 and x[6] == x[7])"
    outcome = verify(
        [claim(f"(argmax(f(x)) == 1) == ({circuit})", {"x[0..9]": "bit"}, models={"f": "zoo:boolean"})]
    )[0]
    assert outcome.status == "proved"
    wrong = circuit.replace("x[6] == x[7]", "x[6] != x[7]")
    outcome = verify(
        [claim(f"(argmax(f(x)) == 1) == ({wrong})", {"x[0..9]": "bit"}, models={"f": "zoo:boolean"})]
    )[0]
    assert outcome.status == "refuted"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_verdicts_agree_with_brute_force_on_small_grids(random_network, seed, semantics):
    network = random_network([2, 5, 4, 1], seed, "integer")
    grid = torch.cartesian_prod(torch.arange(-6, 7), torch.arange(-6, 7))
    values = network(grid).flatten().double()
    scope = grid[:, 0] + 2 * grid[:, 1] <= 5
    for quantile in (0.5, 0.97, 1.0):
        bound = float(values[scope].quantile(quantile)) + 1e-4
        truth = bool((values[scope] <= bound).all())
        outcome = one(
            f"f(x, y)[0] <= {bound!r}".replace("e-", "e-"),
            {"x": "integer -6..6", "y": "integer -6..6"},
            network,
            given="x + 2*y <= 5",
            semantics=semantics,
        )
        assert outcome.status == ("proved" if truth else "refuted"), outcome


def test_two_equalities_leave_one_line(random_network):
    network = random_network([3, 6, 1], 1)
    outcome = one(
        "f(x, y, z)[0] <= 100",
        {"x": "real -1..1", "y": "real -1..1", "z": "real -2..2"},
        network,
        given="x == y and z == 2*x",
    )
    assert outcome.status == "proved"
    assert outcome.verdict.certificate is not None


def test_a_condition_that_nothing_satisfies_proves_anything(random_network):
    outcome = one("f(x)[0] > 99", {"x": "real 0..1"}, random_network([1, 3, 1], 0), given="x >= 2")
    assert outcome.status == "proved"


def test_the_trap_of_float32(ramp):
    """relu(x + 2²⁵) - 2²⁵ is x over the reals; torch answers 0 at x = .3."""
    trap = ramp(1.0, 2.0**25, -(2.0**25))
    shown = "abs(f(x)[0] - x) <= 0.01"
    assert one(shown, {"x": "real 0.25..0.5"}, trap).status == "proved"
    float32 = one(shown, {"x": "real 0.25..0.5"}, trap, semantics="float32")
    assert isinstance(float32.verdict, Refuted)
    assert float32.verdict.witness.outputs


def test_float32_slack_is_told(ramp):
    """True of torch's order here, but not to be shown of every order and fused operation."""
    wide = ramp(1.0, 1000.0, -1000.0)
    verdict = one("abs(f(x)[0] - x) <= 7e-5", {"x": "real 0..1"}, wide, semantics="float32").verdict
    assert isinstance(verdict, Unknown)
    assert "float32 slack" in verdict.reason


def test_float32_refuses_inputs_it_cannot_hold(distance):
    verdict = one("f(x, 0)[0] >= -1", {"x": "integer 0..100000000"}, distance, semantics="float32").verdict
    assert isinstance(verdict, Unknown)
    assert "2^24" in verdict.reason


@pytest.mark.parametrize("seed", range(4))
def test_refutations_are_float32_points_inside_the_scope(random_network, seed):
    network = random_network([3, 8, 1], seed)
    top = float(network(torch.rand(2000, 3) * 0.2 + 0.1).max())
    outcome = one(f"f(x)[0] <= {top - 1e-4:.6f}", {"x[0..2]": "real 0.1..0.3"}, network)
    assert isinstance(outcome.verdict, Refuted)
    for value in outcome.verdict.witness.inputs.values():
        assert Fraction(1, 10) <= value <= Fraction(3, 10)
        assert torch.tensor(float(value), dtype=torch.float32).item() == value


def test_networks_without_exact_form_are_enumerated_and_say_so():
    model = Network("sine", _Sine(), "regression", "integer", (1,))
    outcome = one("abs(f(x)[0]) <= 1", {"x": "integer 0..500"}, model)
    assert isinstance(outcome.verdict, Proved)
    assert outcome.verdict.certificate is None
    assert outcome.verdict.trusted
    assert one("f(x)[0] <= 0.99", {"x": "integer 0..500"}, model).status == "refuted"
    verdict = one("abs(f(x)[0]) <= 1", {"x": "real 0..1"}, model).verdict
    assert isinstance(verdict, Unknown)
    assert "sin" in verdict.reason


class _Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x.float())


def test_out_of_budget_is_unknown_with_its_reason(random_network):
    network = random_network([12, 60, 60, 60, 1], 0)
    samples = network(torch.rand(20000, 12) * 2 - 1).double()
    bound = float(samples.max()) + 0.02 * float(samples.std())
    start = time.perf_counter()
    outcome = one(f"f(x)[0] <= {bound:.6f}", {"x[0..11]": "real -1..1"}, network, budget_s=2.0)
    assert time.perf_counter() - start < 12
    if isinstance(outcome.verdict, Unknown):
        assert outcome.verdict.reason
        assert outcome.verdict.open_fraction is not None


def test_claims_that_do_not_fit_their_network_are_told_all_at_once(distance):
    claims = [
        claim("f(x)[0] <= 1", {"x": "real 0..1"}, name="too few"),
        claim("f(x, x)[7] <= 1", {"x": "real 0..1"}, name="no such output"),
        claim("f(x, x)[0] * x <= 1", {"x": "real 0..1"}, name="product"),
        claim("f(x, x)[0] + 1", {"x": "real 0..1"}, name="no statement"),
        claim("g(x) <= 1", {"x": "real 0..1"}, name="unknown network"),
    ]
    with pytest.raises(InputError) as caught:
        verify(claims, networks={"f": distance})
    assert [fault.where for fault in caught.value.faults] == [c.name for c in claims]


def test_outcomes_are_json(distance):
    import json

    data = one("f(x1, x2)[0] <= 2", PAIR, distance).to_dict()
    assert json.loads(json.dumps(data))["status"] == "proved"


def test_conditions_across_the_scope_are_used(distance):
    """On x1 <= x2 the answer is (x2 - x1) / 10⁶, which no box alone shows."""
    outcome = one("abs(f(x1, x2)[0] - (x2 - x1) / 1e6) <= 1e-6", PAIR, distance, given="x1 <= x2")
    assert isinstance(outcome.verdict, Proved)
    assert outcome.verdict.trusted == ()


def test_a_kink_across_the_scope_needs_few_cases(distance):
    outcome = one("abs(f(x1, x2)[0] - abs(x1 - x2) / 1e6) <= 1e-4", PAIR, distance)
    assert isinstance(outcome.verdict, Proved)
    assert outcome.verdict.trusted == ()
    assert outcome.verdict.certificate.leaves <= 32


KINDS = """
model = "zoo:comparator"
[[claim]]
name = "within"
for = { x1 = "integer 0..1000000", x2 = "integer 0..1000000" }
within = { explanation = "zoo:comparator", epsilon = 1e-2 }
[[claim]]
name = "grows"
for = { x1 = "integer 0..1000000", x2 = "integer 0..1000000" }
monotone = { output = 0, in = "x1" }
[[claim]]
name = "fires"
for = { x1 = "integer 0..1000000", x2 = "integer 0..1000000" }
fires = { unit = "layers.2[0]", exactly_when = "x1 > x2" }
[[claim]]
name = "sufficient"
model = "zoo:boolean"
for = { "x[0..9]" = "bit" }
given = "x[0] == 1 and x[1] == 0 and x[2] == 1 and x[8] == 0 and x[9] == 0"
sufficient = "zoo:boolean"
[[claim]]
name = "necessary"
model = "zoo:boolean"
for = { "x[0..9]" = "bit" }
given = "x[0] == 1 and x[1] == 0 and x[2] == 1 and x[8] == 0 and x[9] == 0"
necessary = "zoo:boolean"
"""


def test_other_kinds_of_claim(tmp_path):
    (tmp_path / "kinds.toml").write_text(KINDS)
    outcomes = {o.name: o for o in verify(tmp_path / "kinds.toml", budget_s=20)}
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    assert statuses == {
        "within": "proved",
        "grows": "refuted",
        "fires": "refuted",
        "sufficient": "proved",
        "necessary": "unknown",
    }


def test_z3_decides_whole_numbers_and_says_that_it_is_trusted(random_network, monkeypatch):
    monkeypatch.setattr("assay.proofs.plans.SPLIT_SHARE", 0.0)
    network = random_network([2, 6, 1], 3)
    top = float(network(torch.rand(4000, 2) * 2 - 1).max())
    high = one(f"f(x)[0] <= {top + 0.5:.4f}", {"x[0..1]": "real -1..1"}, network)
    assert isinstance(high.verdict, Proved)
    assert high.verdict.trusted[0] == "z3"


@pytest.mark.parametrize("seed", range(3))
def test_no_float32_proof_is_contradicted_by_runs_in_any_order(random_network, seed):
    """The tightest bound that is proved, against float32 runs with the hidden units in other orders."""
    network = random_network([2, 12, 12, 1], seed)
    x = torch.rand(100_000, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    top = float(network(x).max())
    margin = next(
        m
        for m in (1e-5, 1e-4, 1e-3)
        if one(f"f(x)[0] <= {top + m:.9f}", {"x[0..1]": "real -1..1"}, network, semantics="float32").status
        == "proved"
    )
    first, second, last = (network.module[k] for k in (0, 2, 4))
    for order_seed in range(5):
        a, b = (torch.randperm(12, generator=torch.Generator().manual_seed(order_seed + k)) for k in (0, 50))
        hidden = torch.relu(x @ first.weight[a].T + first.bias[a])
        hidden = torch.relu(hidden @ second.weight[b][:, a].T + second.bias[b])
        assert float((hidden @ last.weight[:, b].T + last.bias).max()) <= top + margin


@pytest.mark.parametrize("semantics", ["real", "float32"])
def test_a_network_that_copies_its_inputs_is_compared_with_them(semantics):
    module = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.eye(2))
    net = Network("same", module, "regression", "real", (2,))
    show = "f(x)[0] <= x[0] and x[1] <= f(x)[1]"
    outcome = one(show, {"x[0..1]": "real 0..1"}, net, semantics=semantics)
    assert outcome.status == "proved"
