"""Products by nearly empty matrices are those by the same matrices written out."""

import numpy as np
import pytest
import torch
from assay.proofs.thin import Thin
from scipy.sparse import csr_array


@pytest.fixture(params=["dense", "thin", "compressed"])
def pair(request):
    """A map, and the same matrix in torch."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 150)) * (
        rng.random((200, 150)) < (0.5 if request.param == "dense" else 0.01)
    )
    made = Thin(csr_array(matrix) if request.param == "compressed" else matrix)
    assert (made.packed is None) == (request.param == "dense")
    return made, torch.as_tensor(matrix)


def test_products_and_slopes_are_the_same(pair):
    thin, dense = pair
    for shape in ((3, 200), (1, 4, 200), (2, 0, 200)):
        left = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        weights = torch.randn(*shape[:-1], 150, dtype=torch.float64)
        found, plain = thin.rows(left), left @ dense
        assert torch.allclose(found, plain, atol=1e-12)
        slopes = [torch.autograd.grad((v * weights).sum(), left)[0] for v in (found, plain)]
        assert torch.allclose(*slopes, atol=1e-12)
    points = torch.randn(5, 150, dtype=torch.float64)
    assert torch.allclose(thin.values(points), points @ dense.T, atol=1e-12)


def test_rows_sizes_and_extremes_are_the_same(pair):
    thin, dense = pair
    rows = torch.randint(200, (3, 7))
    assert torch.equal(thin.some(rows), dense[rows])
    points = torch.randn(5, 150, dtype=torch.float64)
    assert torch.allclose(thin.sizes().values(points), points @ dense.abs().T, atol=1e-12)
    low, high = points, points + torch.rand(5, 150, dtype=torch.float64)
    corners = torch.stack([torch.where(row > 0, high, low) @ row for row in dense], -1)
    assert torch.allclose(thin.most(low, high), corners, atol=1e-12)
    assert np.array_equal(thin.matrix @ np.eye(150), dense.numpy())


def test_small_matrices_are_left_as_they_are():
    assert Thin(np.zeros((4, 4))).packed is None
