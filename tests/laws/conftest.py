from __future__ import annotations

import pytest
import torch
from assay.explanations import Evidence, Question
from assay.models import Dataset, Network, Scope, perceptron

from .honest import DELTA, WIDTH, N


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Of a small network with random weights, and three times its outputs."""
    torch.manual_seed(0)
    network = Network("net", perceptron([3, 5, WIDTH]), "regression", "real", (3,))
    x = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
    data = Dataset("d", x, None, "sample", Scope("", ""))
    question = Question("mechanism", "outputs", delta=DELTA, precision=8)
    return Evidence(question, network, data, None, network(x) * 3)
