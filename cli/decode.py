"""``assay decode``: activations back from a bitstream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .failures import Command, Failure
from .options import display_options, memory_size

if TYPE_CHECKING:
    from assay.mdl.bitstream import SiteMessage

BYTES_PER_CELL = 64
"""Memory that a cell of the largest table takes while a stream is decoded."""
WRITES = (".npy", ".safetensors")


@click.command(cls=Command)
@click.argument("stream", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the activations on their grid here: .npy or .safetensors.",
)
@click.option(
    "--memory",
    type=memory_size,
    default="4G",
    show_default=True,
    help="Refuse streams that need more memory than this.",
)
@display_options
def decode(stream: Path, out: Path | None, memory: int, display: str, as_json: bool, debug: bool) -> None:
    """Say what a bitstream holds, and write the activations in it.

    Streams that are damaged, cut short or hostile are refused.
    """
    if out is not None and out.suffix.lower() not in WRITES:
        raise Failure(f"--out {out}: expected a file named {' or '.join(WRITES)}")
    if out is not None and not out.parent.is_dir():
        raise Failure(f"--out {out}: there is no folder {out.parent}")
    told = read(stream, memory)
    if out is not None:
        write(out, told)
    screen = Display(display, as_json)
    about = contents(told, stream)
    screen.document({**about, "out": None if out is None else str(out)})
    rows, width = about["rows"], about["width"]
    screen.line(
        f"{stream}: {rows:,} rows × {width} coordinates on a grid of {about['delta']:g}, told by "
        f"{about['parts_in_use']:,} of {about['parts']:,} parts at {about['precision']} bits, values in "
        f"steps of {about['step']:g}; {about['active']:,} of them"
    )
    if out is not None:
        screen.line(f"wrote {out}")


def read(path: Path, memory: int) -> SiteMessage:
    """The message in a file; raises ``BitstreamError`` for anything else."""
    from assay.mdl import bitstream
    from assay.mdl.wire import BitstreamError

    data = path.read_bytes()
    try:
        with limited(memory):
            return bitstream.decode(data, most_cells=memory // BYTES_PER_CELL)
    except BitstreamError as error:
        raise BitstreamError(f"{path}: {error}") from error


@contextmanager
def limited(memory: int) -> Iterator[None]:
    """Let this process take no more than so many bytes beyond what it has, where the system can say so."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages * os.sysconf("SC_PAGE_SIZE") + memory
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def contents(told: SiteMessage, stream: Path) -> dict[str, Any]:
    """What a message holds, as data."""
    import torch

    rows, width = told.residual.shape
    return {
        "bytes": stream.stat().st_size,
        "rows": rows,
        "width": width,
        "parts": told.code.parts,
        "parts_in_use": int(torch.unique(told.code.part).numel()),
        "active": int(told.code.part.numel()),
        "delta": told.delta,
        "step": told.step,
        "precision": told.precision,
    }


def write(path: Path, told: SiteMessage) -> None:
    """Activations [rows, d] as float64, whole or not at all."""
    import io

    import numpy as np
    from assay.mdl.report import write_whole
    from safetensors.numpy import save

    values = told.values().numpy()
    if path.suffix.lower() == ".safetensors":
        write_whole(path, save({"values": values}))
        return
    held = io.BytesIO()
    np.save(held, values, allow_pickle=False)
    write_whole(path, held.getvalue())
