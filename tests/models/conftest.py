import pytest
import torch
from assay.models import Dataset, Network, Scope, Transformer, TransformerConfig

CONFIG = TransformerConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, d_vocab=50, n_ctx=12, d_mlp=32)


torch.set_num_threads(1)  # tests run side by side; two processes of many threads each crawl


@pytest.fixture
def transformer() -> Network:
    module = Transformer(CONFIG)
    module.initialise(0.3, torch.Generator().manual_seed(0))
    return Network("small", module, "categorical", "token", (12,), vocabulary=50)


@pytest.fixture
def tokens() -> Dataset:
    drawn = torch.randint(50, (77, 12), generator=torch.Generator().manual_seed(1))
    return Dataset("tokens", drawn, None, "sequence", Scope("tokens in 0..49", "uniform"))
