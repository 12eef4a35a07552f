"""A few hundred of the files that benchmarks/proofs_fuzz.py tries a hundred thousand of."""

import runpy
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUZZ = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "proofs_fuzz.py"))
NETWORKS = FUZZ["networks"]()


@pytest.fixture(scope="module")
def seeds():
    pytest.importorskip("onnx")
    return FUZZ["onnx_seeds"]()


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """In an empty folder, where code that runs would leave a trace; no longer than a minute."""
    monkeypatch.chdir(tmp_path)
    signal.alarm(60)
    yield tmp_path
    signal.alarm(0)
    assert not list(tmp_path.glob(f"{FUZZ['CANARY']}*"))


@pytest.mark.parametrize("kind", ["claims", "vnnlib", "onnx"])
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(k=st.integers(10**6, 10**9))
def test_files_are_read_or_refused(kind, k, limited, seeds):
    assert FUZZ["tried"](kind, k, NETWORKS, seeds, limited) in ("read", "does not fit", "refused")


def test_a_fault_of_a_reader_would_be_seen(limited, seeds, monkeypatch):
    def broken(text, path):
        raise ZeroDivisionError

    monkeypatch.setitem(FUZZ["tried"].__globals__, "parse_file", broken)
    with pytest.raises(ZeroDivisionError):
        FUZZ["tried"]("claims", 0, NETWORKS, seeds, limited)
