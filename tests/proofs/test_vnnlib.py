"""VNN-LIB 2.0, and what both versions share: exact bounds, several networks, every fault at once."""

import gzip
from fractions import Fraction

import pytest
import torch
from assay.models import Network
from assay.proofs import InputError, read_property, verify
from assay.proofs.vnnlib import MAX_COMPARISONS, parse_property
from torch import nn

ONE = """
(vnnlib-version <2.0>) ; a comment
(declare-network net
  (declare-input X {element} [1, 2])
  (declare-output Y {element} [])
)
(assert (<= (* -1.0 X[0,0]) 1.0))
(assert (and (<= X[0,0] 1e-1) (== X[0,1] (+ X[0,0] 0.5))))
(assert (>= Y {bound}))
"""

TWO = """
(vnnlib-version <2.0>)
(declare-network f (declare-input A Real [1]) (declare-output B Real [1]))
(declare-network g (equal-to f) (declare-input C Real [1]) (declare-output D Real [1]))
(declare-network h (isomorphic-to f) (declare-input E Real [1]) (declare-output F Real [1]))
(assert (<= A[0] 1)) (assert (>= A[0] -1))
(assert (<= (- C[0] A[0]) 1)) (assert (>= C[0] A[0])) (assert (== E[0] A[0]))
(assert (or {bad}))
"""


def line(slope: float, shift: float, size: int = 1) -> Network:
    """slope · Σ x + shift."""
    module = nn.Sequential(nn.Linear(size, 1))
    with torch.no_grad():
        module[0].weight.fill_(slope)
        module[0].bias.fill_(shift)
    return Network("line", module, "regression", "real", (size,))


def test_bounds_are_exact_and_propagate():
    found = parse_property(ONE.format(element="Real", bound=3), "p.vnnlib")
    assert [v.name for v in found.variables] == ["X_0_0", "X_0_1"]
    assert [(v.lo, v.hi) for v in found.variables] == [
        (Fraction(-1), Fraction(1, 10)),
        (Fraction(-1, 2), Fraction(6, 10)),
    ]
    assert found.semantics == "real"
    assert parse_property(ONE.format(element="float32", bound=3), "p").semantics == "float32"


def test_what_float64_rounds_is_not_guessed():
    text = ONE.format(element="float64", bound=3)
    with pytest.raises(InputError, match="tensors of float64: say which arithmetic"):
        parse_property(text, "p")
    assert parse_property(text, "p", "real").semantics == "real"
    mixed = ONE.format(element="float32", bound=3).replace("Y float32", "Y Real")
    with pytest.raises(InputError, match="float32 and real"):
        parse_property(mixed, "p")


@pytest.mark.parametrize(("bound", "status"), [("0.71", "proved"), ("0.69", "refuted")])
@pytest.mark.parametrize("element", ["Real", "float32"])
def test_a_query_is_decided(bound, status, element, tmp_path):
    path = tmp_path / "p.vnnlib.gz"
    path.write_bytes(gzip.compress(ONE.format(element=element, bound=bound).encode()))
    (outcome,) = verify([read_property(path)], networks={"f": line(1.0, 0.0, 2)})
    assert outcome.status == status
    assert outcome.verdict.certificate is not None


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        ("(< (+ D[0] 0.5) B[0]) (> (- D[0] B[0]) 3.0)", "proved"),
        ("(< D[0] B[0]) (> (- D[0] B[0]) 1.9)", "refuted"),
        ("(!= (- F[0] B[0]) 0.25)", "proved"),
        ("(> F[0] B[0])", "refuted"),
    ],
)
def test_networks_that_are_equal_are_one_and_others_go_by_their_names(bad, status):
    asked = parse_property(TWO.format(bad=bad), "p.vnnlib")
    nets = {"f": line(2.0, 0.0), "h": line(2.0, 0.25)}
    assert set(asked.networks) <= set(nets)
    (outcome,) = verify([asked], networks=nets)
    assert outcome.status == status


def test_inputs_bounded_in_every_choice_are_bounded():
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)" + (
        "(assert (or (and (<= X_0 -1) (>= X_0 -2)) (and (>= X_0 1) (<= X_0 2.5))))(assert (<= Y_0 {}))"
    )
    found = parse_property(text.format(-3), "p.vnnlib")
    assert (found.variables[0].lo, found.variables[0].hi) == (Fraction(-2), Fraction(5, 2))
    nets = {"f": line(1.0, 0.0)}
    assert verify([parse_property(text.format(-2.5), "p")], networks=nets)[0].status == "proved"
    assert verify([parse_property(text.format(-1.5), "p")], networks=nets)[0].status == "refuted"


def test_contradicting_bounds_leave_nothing_to_refute():
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 0))(assert (>= X_0 1))"
    (outcome,) = verify([parse_property(text, "p")], networks={"f": line(1.0, 0.0)})
    assert outcome.status == "proved"


def test_all_faults_are_told_at_once():
    text = (
        "(vnnlib-version <2.0>)\n"
        "(declare-network n (declare-input X float16 [1]) (declare-output Y Real [1]))\n"
        '(declare-network m\n  (declare-input A Real [2])\n  (declare-hidden H Real [2] "h")\n'
        "  (declare-output B Real [1]))\n"
        "(assert (<= A[2] 1))\n"
        "(assert (<= A[0] 1.0.0))\n"
        "(assert (<= Z 1))\n"
        "(assert (max A[0] 1))\n"
        "(assert (<= H[0] 1))\n"
        "(push)\n"
    )
    with pytest.raises(InputError) as caught:
        parse_property(text, "p")
    assert [(f.line, f.column) for f in caught.value.faults] == [
        (2, 20), (7, 13), (8, 18), (9, 13), (10, 9), (11, 13), (12, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("(vnnlib-version <3.0>)", "<2.0>"),
        (
            "(vnnlib-version <2.0>)(declare-network f (declare-input X Real [9999999]))",
            "entries",
        ),
        ("(vnnlib-version <2.0>)(declare-network f (declare-input X Real [1]))", "0 outputs"),
        ("(vnnlib-version <2.0>)(declare-network f (equal-to g) (declare-input X Real [1]))", "no network"),
        (TWO.format(bad="(< B[0] 1)").replace("D Real [1]", "D Real [2]"), "not alike"),
        ("", "no command"),
        ("(assert " + "(and " * 5000 + ")", "deep"),
    ],
)
def test_bad_queries_are_refused(text, told):
    with pytest.raises(InputError, match=told):
        parse_property(text, "bad.vnnlib")


def test_a_damaged_archive_is_an_input_error(tmp_path):
    (tmp_path / "p.vnnlib.gz").write_bytes(b"\x1f\x8b\x08\x00 broken")
    with pytest.raises(InputError, match="cannot be read"):
        read_property(tmp_path / "p.vnnlib.gz")


def test_a_property_of_too_many_comparisons_is_refused_where_the_next_one_stands():
    parts = "\n".join(["(<= Y_0 1)"] * (MAX_COMPARISONS + 1))
    with pytest.raises(InputError) as error:
        parse_property(f"(declare-const X_0 Real)(declare-const Y_0 Real)\n(assert (or\n{parts}))", "p")
    assert f"p:{MAX_COMPARISONS + 3}:1: more than {MAX_COMPARISONS} comparisons" in str(error.value)
