"""``assay decode``: what a bitstream tells, from the stream and what a receiver knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .display import Display
from .evidence import gathered
from .failures import Command, Failure
from .options import display_options, memory_size, running_options

if TYPE_CHECKING:
    from assay.explanations.sending import Message
    from assay.mdl.container import Note

BYTES_PER_CELL = 64
"""Memory that a cell of the largest table takes while a stream is decoded."""
MOST_DATA = 2**22
"""So many data a stream may ask for by itself."""
WRITES = (".npy", ".safetensors")


@click.command(cls=Command)
@click.argument("stream", type=click.Path(path_type=Path))
@click.argument("model", required=False)
@click.option("--data", help="The inputs, for streams about outputs; for zoo:NAME models zoo by default.")
@click.option(
    "--explain",
    metavar="KIND[:PATH][,key=value…]",
    help="The kind of the explanation, for streams about mechanisms: as it was given to assay encode.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the target here: .npy or .safetensors.",
)
@click.option(
    "--memory",
    type=memory_size,
    default="4G",
    show_default=True,
    help="Refuse streams that need more memory than this.",
)
@running_options
@display_options
def decode(stream: Path, out: Path | None, memory: int, display: str, as_json: bool, **rest: Any) -> None:
    """Restore the target that a bitstream tells.

    Activations need nothing but the stream. Outputs need MODEL and --data as well: of a mechanism the inputs
    and the kind (--explain) are used, and no number of the network; at a site, the network after it.
    Streams that are damaged, cut short or hostile are refused.
    """
    if out is not None and out.suffix.lower() not in WRITES:
        raise Failure(f"--out {out}: expected a file named {' or '.join(WRITES)}")
    if out is not None and not out.parent.is_dir():
        raise Failure(f"--out {out}: there is no folder {out.parent}")
    told = read(stream, memory, rest)
    if out is not None:
        write(out, told)
    screen = Display(display, as_json)
    about = contents(told, stream)
    screen.document({**about, "out": None if out is None else str(out)})
    screen.line(sentence(about, stream))
    if out is not None:
        screen.line(f"wrote {out}")


def read(path: Path, memory: int, options: dict[str, Any] | None = None) -> Message:
    """The message in a file; raises ``BitstreamError`` for anything else.

    ``options`` are those of the command line: what the receiver knows.
    """
    from assay.mdl import bitstream
    from assay.mdl.container import unpacked
    from assay.mdl.wire import BitstreamError

    data, cells = path.read_bytes(), memory // BYTES_PER_CELL
    try:
        container = unpacked(data)
        if not container.note:
            with limited(memory):
                return bitstream.decode(data, most_cells=cells)
        from assay.explanations.sending import receive

        known = knowledge(container.note, options or {}, container.setting)
        evidence = gathered(known)
        with limited(memory):
            return receive(evidence, known["explain"] or "", data, cells)
    except BitstreamError as error:
        raise BitstreamError(f"{path}: {error}") from error


def knowledge(note: Note, options: dict[str, Any], setting: int) -> dict[str, Any]:
    """The question that a stream answers, with the receiver's own model, data and explanation.

    Files of strangers name no code to run: model, data and explanation come from the command line alone.
    """
    from assay.mdl.container import MECHANISM
    from assay.mdl.wire import BitstreamError

    needs = [] if options.get("model") else [f"MODEL (it was {note.get('model')!r})"]
    if setting == MECHANISM and not options.get("explain"):
        needs.append(f"--explain (it was {note.get('explain')!r})")
    if needs:
        raise BitstreamError(f"a stream about outputs: the receiver needs {' and '.join(needs)}")
    asked = {key: note.get(key) for key in ("target", "site", "delta")}
    kinds = {"target": str, "site": str | None, "delta": float | None, "data": int, "seed": int}
    if wrong := [key for key, kind in kinds.items() if not isinstance(note.get(key), kind)]:
        raise BitstreamError(f"its note says nothing of use about {', '.join(wrong)}")
    if asked["target"] not in ("outputs", "answers"):
        raise BitstreamError(f"its note speaks of the target {asked['target']!r}")
    limit = options.get("limit") or note["data"]
    if not 0 < int(limit or 0) <= MOST_DATA:
        raise BitstreamError(f"its note speaks of {limit} data; --limit says how many to use")
    return {
        **options,
        **asked,
        "setting": "mechanism" if setting == MECHANISM else "site",
        "limit": limit,
        "seed": options.get("seed") or note["seed"],
        "activations": None,
        "part_bits": "auto",
    }


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


def contents(told: Message, stream: Path) -> dict[str, Any]:
    """What a message holds, as data."""
    import torch
    from assay.mdl.bitstream import SiteMessage

    restored = told.restored
    about = {
        "bytes": stream.stat().st_size,
        "target": told.corrects.name,
        "rows": len(restored),
        "width": restored.shape[1] if restored.ndim == 2 else None,
        "delta": told.corrects.delta,
    }
    if not isinstance(told, SiteMessage):
        return about
    return {
        **about,
        "parts": told.code.parts,
        "parts_in_use": int(torch.unique(told.code.part).numel()),
        "active": int(told.code.part.numel()),
        "step": told.step,
        "precision": told.precision,
    }


def sentence(about: dict[str, Any], stream: Path) -> str:
    """The same in words."""
    said = f"{stream}: {about['rows']:,} rows"
    if about["width"] is not None:
        said += f" × {about['width']} coordinates on a grid of {about['delta']:g}"
    else:
        said += f" of {about['target']}"
    if "parts" not in about:
        return said
    return (
        f"{said}, told by {about['parts_in_use']:,} of {about['parts']:,} parts at "
        f"{about['precision']} bits, values in steps of {about['step']:g}; {about['active']:,} of them"
    )


def write(path: Path, told: Message) -> None:
    """What was restored, float64 on its grid or whole numbers, whole or not at all."""
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
