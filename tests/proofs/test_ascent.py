"""Our gradient steps are torch's."""

import torch
from assay.proofs.ascent import Adam


def test_steps_are_those_of_torch():
    theirs = torch.linspace(-2, 2, 35, dtype=torch.float64).reshape(5, 7).requires_grad_(True)
    mine = theirs.detach().clone().requires_grad_(True)
    still = torch.ones(3, requires_grad=True)
    reference = torch.optim.Adam([theirs], lr=0.25)
    ascent = Adam({"mine": mine, "still": still})
    for k in range(20):
        rate = 0.25 * 0.05 ** (k / 20)
        reference.zero_grad()
        ascent.forget()
        for x in (theirs, mine):
            (x**4 - 3 * x + x.prod()).sum().backward()
        reference.param_groups[0]["lr"] = rate
        reference.step()
        ascent.step(rate)
    assert torch.allclose(theirs, mine, rtol=1e-12, atol=1e-12)
    assert still.eq(1).all()
