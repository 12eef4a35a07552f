"""What hypothesis draws: tallies, usages, dictionaries, laws."""

import numpy as np
from assay.mdl.tally import Histogram, Usage
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LAWFUL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def histograms(draw, min_size=0, spread=300):
    symbols = draw(st.lists(st.integers(-spread, spread), min_size=min_size, max_size=60))
    return Histogram.of(np.array(symbols, dtype=np.int64))


@st.composite
def supports(draw):
    """A Boolean array [rows, parts]."""
    rows, parts = draw(st.integers(0, 20)), draw(st.integers(1, 8))
    bits = draw(st.lists(st.booleans(), min_size=rows * parts, max_size=rows * parts))
    return np.array(bits, dtype=bool).reshape(rows, parts)


@st.composite
def usages(draw):
    return Usage.of(draw(supports()))
