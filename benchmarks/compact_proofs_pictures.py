"""Pictures of benchmarks/results/compact_proofs.csv: the frontier of all seeds, and bits of explanations.

    python benchmarks/compact_proofs_pictures.py docs/images

Writes compact-proofs.png (certified accuracy against operations, medians over the seeds of max of 4 of 64,
beside published points) and compact-proofs-bits.png (bits of explanation against operations, each seed a
point). Chromium renders them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from assay.cli.proof_lengths import picture

RESULTS = Path(__file__).parent / "results" / "compact_proofs.csv"
K, V = 4, 64


def rows() -> pd.DataFrame:
    """What is known of max of 4 of 64 in exact arithmetic, strategy by strategy."""
    table = pd.read_csv(RESULTS)
    chosen = table[(table.k == K) & (table.v == V) & (table.semantics == "real") & table.operations.notna()]
    return chosen[~chosen.strategy.str.startswith("search")]


def frontier(table: pd.DataFrame) -> str:
    """Medians of all strategies, as an SVG."""
    medians = table.groupby("strategy")[["operations", "relative"]].median()
    points = [(row.operations, min(row.relative, 1.0), str(name)) for name, row in medians.iterrows()]
    seeds = table.seed.nunique()
    title = f"Max of {K} of {V}, {seeds} seeds: share of the accuracy certified, by length of proof"
    return picture(title, points, K, V)


def explanations(table: pd.DataFrame) -> str:
    """Bits told beside the weights against operations; colour is what is certified, as a page."""
    drawn = go.Figure()
    for name, some in table.groupby("strategy"):
        colours = {"color": some.certified, "coloraxis": "coloraxis", "size": 6}
        drawn.add_scatter(x=some.operations, y=some.bits, mode="markers", marker=colours, showlegend=False)
        at = np.log10(
            some[["operations", "bits"]].median()
        )  # logarithmic axes place annotations by logarithm
        drawn.add_annotation(
            x=at.operations, y=at.bits, text=str(name), showarrow=False, textangle=-60, xanchor="left",
            yanchor="bottom", font={"size": 10},
        )  # fmt: skip
    drawn.update_layout(
        template="plotly_white", width=1100, height=760, title="Bits of explanation against length of proof",
        coloraxis={"colorbar": {"title": "certified"}, "colorscale": "Viridis"},
        xaxis={"type": "log", "title": "operations to verify the proof"},
        yaxis={"type": "log", "title": "bits told beside the weights", "range": [0.5, 7]},
    )  # fmt: skip
    page: str = drawn.to_html(include_plotlyjs=True, config={"displayModeBar": False})
    return page


def photographed(page: str, suffix: str, size: str, path: Path) -> None:
    """A page as Chromium shows it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"page{suffix}"
        source.write_text(page)
        words = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--virtual-time-budget=8000",
        ]
        command = ["chromium", *words, f"--window-size={size}", f"--screenshot={path}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def main() -> None:
    """Write both pictures."""
    folder = Path(sys.argv[1]).resolve()
    table = rows()
    photographed(frontier(table), ".svg", "1120,520", folder / "compact-proofs.png")
    photographed(explanations(table), ".html", "1100,760", folder / "compact-proofs-bits.png")


if __name__ == "__main__":
    main()
