import pytest
import torch
from assay.explanations import SAE
from assay.models import Dataset, Network, Scope, Transformer, TransformerConfig, perceptron, zoo

collect_ignore = ["saelens_writes.py"]  # a script for an interpreter that has SAELens


@pytest.fixture(scope="session")
def tms() -> Network:
    return zoo.load("tms-5-2")


@pytest.fixture(scope="session")
def tms_data() -> Dataset:
    return zoo.data("tms-5-2", 400, 11)


@pytest.fixture(scope="session")
def digits() -> Network:
    return zoo.load("digits")


@pytest.fixture(scope="session")
def digits_data() -> Dataset:
    return zoo.data("digits", 360, 0)


@pytest.fixture(scope="session")
def transformer() -> Network:
    """Random weights, biases too, so that nothing is zero by chance."""
    config = TransformerConfig(
        n_layers=2, d_model=12, n_heads=3, d_head=4, d_vocab=17, n_ctx=6, d_mlp=20, act_fn="relu"
    )
    module, generator = Transformer(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.4, generator=generator)
    return Network("tiny", module, "categorical", "token", (6,), vocabulary=17)


@pytest.fixture(scope="session")
def tokens() -> Dataset:
    drawn = torch.randint(17, (48, 6), generator=torch.Generator().manual_seed(1))
    return Dataset("tokens", drawn, None, "sequence", Scope("tokens in 0..16", "uniform"))


@pytest.fixture(scope="session")
def mlp() -> Network:
    torch.manual_seed(3)
    return Network("mlp", perceptron([4, 9, 7, 3]), "categorical", "real", (4,))


@pytest.fixture(scope="session")
def reals() -> torch.Tensor:
    return torch.randn(60, 4, generator=torch.Generator().manual_seed(4))


def sae(architecture: str = "standard", site: str = "", d_in: int = 12, d_sae: int = 30) -> SAE:
    g = torch.Generator().manual_seed(5)
    return SAE(
        W_enc=torch.randn(d_in, d_sae, generator=g) * 0.5,
        W_dec=torch.randn(d_sae, d_in, generator=g) * 0.3,
        b_enc=torch.randn(d_sae, generator=g) * 0.2 - 0.3,
        b_dec=torch.randn(d_in, generator=g) * 0.1,
        architecture=architecture,
        k=4 if architecture == "topk" else None,
        threshold=torch.rand(d_sae, generator=g) if architecture == "jumprelu" else None,
        site=site,
    )
