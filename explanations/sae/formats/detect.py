"""Which tool wrote a file of an SAE or a transcoder: seen from the names of files, then of keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from assay.explanations.errors import ExplanationError
from assay.explanations.sae.stored import is_ours, load_stored
from assay.explanations.sae.transcoders import Transcoder
from assay.explanations.sae.weights import SAE
from assay.models.state_dicts import read_by_name

from .cross_layer import layers_in, read_cross_layer
from .dictionary_learning import read_dictionary_learning
from .gemma_scope import read_gemma_scope
from .openai import read_openai
from .saelens import read_saelens
from .sparsify import read_sparsify

Loaded = SAE | Transcoder | tuple[Transcoder, ...]
MARKS: dict[str, Callable[[Path], Loaded]] = {
    "sae_weights.safetensors": read_saelens,
    "sae.safetensors": read_sparsify,
    "ae.pt": read_dictionary_learning,
    "params.npz": read_gemma_scope,
    "params.safetensors": read_gemma_scope,
}
OF_FOLDERS = ("sae_weights.safetensors", "sae.safetensors")


def load_any(path: Path | str) -> Loaded:
    """Read an SAE, a transcoder, or all layers of a cross-layer transcoder, whichever tool wrote it.

    ``path`` is a folder or one of its files. Raises :class:`ExplanationError` (or ``UnreadableFile``) that
    names the file, and what was found and expected.
    """
    path = Path(path)
    if not path.exists():
        raise ExplanationError(f"{path}: no such file or folder, nor is it the name of a shipped SAE")
    return _load_folder(path) if path.is_dir() else _load_file(path)


def load_sae(path: Path | str) -> SAE:
    """The same, for what has to be an SAE."""
    found = load_any(path)
    if not isinstance(found, SAE):
        raise ExplanationError(f"{path}: it holds a transcoder: use transcoder:{path}")
    return found


def load_transcoders(path: Path | str) -> tuple[Transcoder, ...]:
    """The same, for what has to be a transcoder, or several of a cross-layer one."""
    found = load_any(path)
    if isinstance(found, SAE):
        raise ExplanationError(f"{path}: it holds an SAE, which writes where it reads: use sae:{path}")
    return (found,) if isinstance(found, Transcoder) else found


def _load_folder(folder: Path) -> Loaded:
    marks = [name for name in MARKS if (folder / name).is_file()]
    if len(marks) == 1:
        return MARKS[marks[0]](folder)
    if not marks and layers_in(folder):
        return read_cross_layer(folder)
    if not marks and (folder / "cfg.json").is_file():
        return read_saelens(folder)
    files = sorted(path.name for path in folder.iterdir())[:8]
    found = f"{', '.join(marks)} side by side" if marks else f"only {', '.join(files) or 'nothing'}"
    raise ExplanationError(
        f"{folder}: {found} found, expected one of {', '.join(MARKS)} (or W_enc_0.safetensors)"
    )


def _load_file(path: Path) -> Loaded:
    if path.name in ("cfg.json", "config.json", *OF_FOLDERS):
        return _load_folder(path.parent)
    if path.suffix not in (".pt", ".pth", ".npz", ".safetensors"):
        raise ExplanationError(
            f"{path}: a {path.suffix or 'nameless'} file, expected .pt, .npz or .safetensors"
        )
    if is_ours(path):
        return load_stored(path)
    if path.suffix in (".npz", ".safetensors"):
        return read_gemma_scope(path)
    keys = read_by_name(path).keys()
    return read_openai(path) if {"pre_bias", "latent_bias"} & keys else read_dictionary_learning(path)
