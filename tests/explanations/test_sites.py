"""Site dictionaries: neurons, PCA, rotations, SAEs, codebooks."""

import pytest
import torch
from assay.explanations import (
    SAE,
    Codebook,
    ExplanationError,
    NeuronBasis,
    SAESite,
    pca,
    random_rotation,
)
from assay.mdl import GridTarget, SiteProblem, score_site

from .conftest import sae


def drawn(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=g) @ torch.randn(width, width, generator=g) + 2


def told(explanation, x: torch.Tensor) -> torch.Tensor:
    """x̂ from dictionary and code, without any grid."""
    dictionary, code = explanation.dictionary(), explanation.code(x)
    dense = torch.zeros(code.rows, code.parts, dtype=torch.float64)
    dense[code.row, code.part] = code.value.double()
    rows = torch.eye(dictionary.width) if dictionary.rows is None else dictionary.rows
    return dense @ rows.double() + dictionary.bias.double()


def test_neurons_tell_the_activations_themselves():
    x = drawn(20, 5)
    assert torch.equal(told(NeuronBasis(5), x), x.double())


@pytest.mark.parametrize("made", [pca, random_rotation])
def test_full_bases_tell_everything(made):
    x = drawn(50, 6)
    assert torch.allclose(told(made(x), x), x.double(), atol=1e-9)
    rows = made(x).rows
    assert torch.allclose(rows @ rows.T, torch.eye(6, dtype=torch.float64), atol=1e-12)


def test_pca_is_the_best_linear_basis_of_its_size():
    """Its error is the variance of what is left out, by the singular values."""
    x = drawn(200, 6)
    _, S, _ = torch.linalg.svd(x.double() - x.double().mean(0))
    for k in (1, 3, 5):
        error = (told(pca(x, k), x) - x).square().sum()
        assert float(error) == pytest.approx(float(S[k:].square().sum()), rel=1e-6)
    assert pca(x, 2).recipe() == {"kind": "pca", "k": 2}


@pytest.mark.parametrize("k", [0, 7])
def test_pca_has_as_many_components_as_coordinates(k):
    with pytest.raises(ExplanationError, match=f"1 to 6 components, got k={k}"):
        pca(drawn(20, 6), k)


def test_rotations_are_seeded():
    x = drawn(20, 4)
    assert torch.equal(random_rotation(x, 1).rows, random_rotation(x, 1).rows)
    assert not torch.equal(random_rotation(x, 1).rows, random_rotation(x, 2).rows)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
def test_saes_encode_as_a_loop_over_features_does(architecture, subtract):
    made = sae(architecture)
    made = SAE(**{**vars(made), "subtract_b_dec": subtract})
    x = drawn(15, 12) * 0.3
    expected = torch.zeros(15, 30)
    for i, row in enumerate(x):
        centred = row - made.b_dec if subtract else row
        pre = [float(centred @ made.W_enc[:, f] + made.b_enc[f]) for f in range(30)]
        ranked = sorted(range(30), key=lambda f: -pre[f])
        for f in range(30):
            fires = pre[f] > 0
            if architecture == "topk":
                fires = fires and f in ranked[: made.k]
            if architecture == "jumprelu":
                fires = fires and pre[f] > float(made.threshold[f])
            expected[i, f] = pre[f] if fires else 0.0
    assert torch.allclose(made.encode(x), expected, atol=1e-5)
    assert torch.allclose(made.decode(expected), expected @ made.W_dec + made.b_dec)
    assert torch.allclose(told(SAESite(made), x).float(), made.decode(made.encode(x)), atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"W_dec": torch.zeros(12, 30)}, r"W_dec has shape \(12, 30\), expected \(30, 12\)"),
        ({"b_enc": torch.zeros(3)}, r"b_enc has shape \(3,\), expected \(30,\)"),
        ({"b_dec": torch.zeros(1, 12)}, r"b_dec has shape \(1, 12\), expected \(12,\)"),
        ({"W_enc": torch.zeros(12)}, r"W_enc has shape \(12,\), expected \(d_in, d_sae\)"),
        ({"architecture": "topk", "k": None}, r"topk needs k in 1\.\.30, got None"),
        ({"architecture": "topk", "k": 31}, r"topk needs k in 1\.\.30, got 31"),
        ({"architecture": "topk", "k": "many"}, r"topk needs k in 1\.\.30, got many"),
        ({"architecture": "jumprelu"}, "needs a threshold"),
        ({"architecture": "jumprelu", "threshold": torch.zeros(7)}, r"threshold has shape \(7,\), expected"),
    ],
)
def test_an_sae_that_does_not_fit_together_is_refused(changed, message):
    with pytest.raises(ExplanationError, match=message):
        SAE(**{**vars(sae()), **changed})


def test_a_codebook_tells_each_row_by_its_entry():
    x = torch.tensor([[1.0, 2.0], [0.0, 3.0], [1.0, 2.0], [-0.0, 3.0]])
    book = Codebook(x)
    assert len(book.rows) == 2
    assert torch.equal(told(book, x), x.double())
    assert book.recipe()["entries"] == 2


def test_every_kind_is_scored_and_decodes():
    """score_site checks on every chunk that the receiver restores the target."""
    x = drawn(120, 12) * 0.2
    made = [NeuronBasis(12), pca(x), pca(x, 3), random_rotation(x), SAESite(sae()), Codebook(x)]
    scores = {e.name: score_site(e, SiteProblem(x, GridTarget(0.05), 0.05)) for e in made}
    assert len(scores) == 5  # both PCAs have one name
    for score in scores.values():
        assert score.ledger.total > 0
        assert score.ledger.samples == 120
    assert scores["lookup table"].law.open_ended
