"""ONNX files as the networks of claims; see `assay.models.formats.onnx` for what is read."""

from __future__ import annotations

from pathlib import Path

from assay.models import InputError as ModelError
from assay.models import Network
from assay.models.formats.onnx import UnsupportedOperators
from assay.models.formats.onnx import read_onnx as read

from .faults import Fault, InputError


def read_onnx(path: str | Path) -> Network:
    """Read a network of one input and one output; needs the extra ``onnx``.

    Raises:
        InputError: not a whole ONNX file, or with every operator that is not supported.
    """
    path = Path(path)
    try:
        return read(path)
    except UnsupportedOperators as error:
        faults = [Fault(reason, where=f"{path.name}:{node}") for node, reason in error.faults]
        raise InputError(faults) from error
    except ModelError as error:
        raise InputError(str(error)) from error
