from __future__ import annotations

import copy
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from assay.explanations.trials import capacities
from assay.proofs import check_capacity
from assay.proofs.capacity import CapacityError, capacity_bound


@pytest.fixture(scope="module")
def W() -> torch.Tensor:
    found = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    return torch.cat([found, found[:1] * 2])


def test_capacity_is_bounded_exactly_by_the_leverage(W):
    found = capacity_bound(W.tolist())
    assert found.rank == 3
    assert sum(found.leverages) == 3
    assert check_capacity.check(json.loads(json.dumps(found.certificate))) == (found.total, 3)
    assert found.total < Fraction(3)
    assert torch.allclose(capacities(W), torch.tensor([float(c) for c in found.capacities]).double())
    hat = torch.linalg.pinv(W.double()) @ W.double()
    assert torch.allclose(torch.diagonal(hat), torch.tensor([float(h) for h in found.leverages]).double())


@pytest.mark.parametrize("rows", [[[0.0] * 100] * 100, [[0.0, 0.0]], [[1.0, float("nan")]], [], [[1.0], []]])
def test_what_has_no_exact_capacity_is_refused(rows):
    with pytest.raises(CapacityError, match="expected"):
        capacity_bound(rows)


def test_columns_of_zeros_and_repeated_rows_have_their_capacity():
    found = capacity_bound([[0.1, 0.0, 0.2], [0.1, 0.0, 0.2], [0.0, 0.0, 1e-30]])
    assert found.rank == 2
    assert found.capacities[1] == found.leverages[1] == 0
    assert check_capacity.check(found.certificate) == (found.total, 2)


@pytest.mark.parametrize("key", ["W", "solved", "basis", "format"])
def test_changed_certificates_are_rejected(W, key):
    good = capacity_bound(W.tolist()).certificate
    bad = copy.deepcopy(good)
    if key == "W":
        bad["W"][3][0] = (1.5).hex()
    elif key == "solved":
        bad["solved"][0][0] = str(Fraction(bad["solved"][0][0]) + Fraction(1, 10**30))
    elif key == "basis":
        bad["basis"], bad["solved"] = bad["basis"][:2], bad["solved"][:2]
    else:
        bad["format"] = "assay.capacity/0"
    with pytest.raises(check_capacity.Rejected):
        check_capacity.check(bad)


def test_the_checker_runs_alone(W, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(capacity_bound(W.tolist()).certificate))
    source = Path(check_capacity.__file__)
    done = subprocess.run(
        [sys.executable, "-I", str(source), str(tmp_path / "c.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "<= rank 3" in done.stdout
    (tmp_path / "c.json").write_text("[]")
    assert check_capacity.main([str(tmp_path / "c.json")]) == 1
