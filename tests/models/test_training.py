import pytest
import torch
from assay.models.zoo import AdamW, minimise
from assay.models.zoo.training import one_thread
from torch import nn


def test_schedules_begin_and_end_where_they_should():
    cosine = AdamW(steps=110, lr=1.0, schedule="cosine", warmup=10)
    assert [cosine.rate(s) for s in (0, 4, 9, 10, 60)] == pytest.approx([0.1, 0.5, 1.0, 1.0, 0.5])
    assert 0 < cosine.rate(109) < 0.001
    linear = AdamW(steps=10, lr=2.0, schedule="linear")
    assert [linear.rate(s) for s in (0, 5, 9)] == pytest.approx([2.0, 1.0, 0.2])
    assert AdamW(steps=10, lr=3.0).rate(9) == 3.0


def test_a_quadratic_is_minimised():
    module = nn.Linear(1, 1, bias=False)
    minimise(module, lambda: (module.weight - 3).square().sum(), AdamW(400, 0.1, "linear"), None)
    assert float(module.weight.detach()) == pytest.approx(3, abs=1e-3)


def test_weight_decay_spares_biases_and_frozen_parameters_stay():
    module = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    module[1].requires_grad_(False)
    before = [p.detach().clone() for p in module.parameters()]
    minimise(module, lambda: 0 * module(torch.zeros(1, 1)).sum(), AdamW(50, 0.1, weight_decay=1.0), None)
    weight, bias, *frozen = (p.detach() for p in module.parameters())
    assert weight.abs() < before[0].abs() * 0.01
    assert torch.equal(bias, before[1])
    assert [torch.equal(a, b) for a, b in zip(frozen, before[2:], strict=True)] == [True, True]


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert torch.get_num_threads() == before
