import hashlib

import pytest
import torch
from assay.models import Dataset, InputError, Scope
from hypothesis import given
from hypothesis import strategies as st

SCOPE = Scope("none", "uniform")


def dataset(n: int = 10) -> Dataset:
    return Dataset("d", torch.arange(2 * n).view(n, 2), torch.arange(n), "sample", SCOPE)


def test_the_fingerprint_is_of_the_bytes():
    expected = hashlib.sha256(b"torch.int64\0(10, 2)\0")
    expected.update(torch.arange(20).numpy().tobytes())
    expected.update(b"torch.int64\0(10,)\0")
    expected.update(torch.arange(10).numpy().tobytes())
    assert dataset().fingerprint == expected.hexdigest()


def test_type_shape_labels_and_order_all_count():
    base = dataset()
    others = [
        Dataset("d", base.inputs.int(), base.labels, "sample", SCOPE),
        Dataset("d", base.inputs.view(10, 2, 1), base.labels, "sample", SCOPE),
        Dataset("d", base.inputs, None, "sample", SCOPE),
        Dataset("d", base.inputs.flip(0), base.labels, "sample", SCOPE),
    ]
    assert len({d.fingerprint for d in [base, *others]}) == 5


def test_a_view_has_the_fingerprint_of_its_numbers():
    every_other = Dataset("d", dataset().inputs[::2], None, "sample", SCOPE)
    copied = Dataset("d", dataset().inputs[::2].contiguous(), None, "sample", SCOPE)
    assert every_other.fingerprint == copied.fingerprint


def test_take_keeps_the_first():
    assert dataset().take(3).inputs.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert len(dataset().take(99)) == 10


@given(st.integers(1, 40), st.floats(0, 1), st.integers(0, 5))
def test_a_split_loses_nothing_and_keeps_labels_with_their_inputs(n, fraction, seed):
    first, second = dataset(n).split(fraction, seed)
    assert len(first) == round(fraction * n)
    inputs = torch.cat([first.inputs, second.inputs])
    labels = torch.cat([first.labels, second.labels])
    assert torch.equal(inputs[labels.argsort()], dataset(n).inputs)
    again, _ = dataset(n).split(fraction, seed)
    assert again.fingerprint == first.fingerprint


def test_nonsense_is_refused():
    with pytest.raises(InputError, match="10 inputs but 3 labels"):
        Dataset("d", torch.zeros(10), torch.zeros(3), "sample", SCOPE)
    with pytest.raises(InputError, match="single number"):
        Dataset("d", torch.tensor(1.0), None, "sample", SCOPE)
    with pytest.raises(InputError, match=r"split dataset 'd' at 1\.5"):
        dataset().split(1.5, 0)
