"""Products by nearly empty matrices are those by the same matrices written out."""

import pytest
import torch
from assay.proofs.thin import Thin


@pytest.mark.parametrize(("share", "packed"), [(0.01, True), (0.5, False)])
def test_products_and_slopes_are_the_same(share, packed):
    torch.manual_seed(0)
    dense = torch.randn(200, 150, dtype=torch.float64) * (torch.rand(200, 150) < share)
    thin = Thin(dense)
    assert (thin.packed is not None) is packed
    for shape in ((3, 200), (1, 4, 200), (2, 0, 200)):
        left = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        weights = torch.randn(*shape[:-1], 150, dtype=torch.float64)
        found, plain = thin.rows(left), left @ dense
        assert torch.allclose(found, plain, atol=1e-12)
        slopes = [torch.autograd.grad((v * weights).sum(), left)[0] for v in (found, plain)]
        assert torch.allclose(*slopes, atol=1e-12)
    points = torch.randn(5, 150, dtype=torch.float64)
    assert torch.allclose(thin.values(points), points @ dense.T, atol=1e-12)


def test_small_matrices_are_left_as_they_are():
    assert Thin(torch.zeros(4, 4, dtype=torch.float64)).packed is None
