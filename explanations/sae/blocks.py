"""Codes made block by block, in a fixed order, so that a dense code of all rows is never held.

Blocks of pre-activations stay in the cache while their non-zeros are found: one pass over memory costs as
much as a third of the matrix product. The blocks are canonical: the same rows give the same code everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from assay.mdl import Code
from torch import Tensor

ROWS, FEATURES = 1024, 4096
WORD = 8  # Booleans in an int64
DENSE, FEWEST = 2**23, 64  # entries of a dense code of whole rows, and at least so many rows


def fired(x: Tensor, W_enc: Tensor, b_enc: Tensor, least: Tensor) -> Code:
    """The entries of x W_enc + b_enc [rows, d_sae] above ``least`` [d_sae]."""
    width = int(W_enc.shape[1])
    room = min(ROWS, len(x)) * min(FEATURES, width)
    pre, above = x.new_empty(room), torch.empty(-(-room // WORD) * WORD, dtype=torch.bool, device=x.device)
    blocks = [
        _block(x, W_enc, b_enc, least, row, part, pre, above)
        for row in range(0, len(x), ROWS)
        for part in range(0, width, FEATURES)
    ]
    row, part, value = (torch.cat(each) for each in zip(*blocks, strict=True))
    order = (row * width + part).argsort()
    return Code(row[order], part[order], value[order], len(x), width)


def _block(
    x: Tensor, W_enc: Tensor, b_enc: Tensor, least: Tensor, row: int, part: int, pre: Tensor, above: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, parts and values of what fires in one block; ``pre`` and ``above`` are memory to work in."""
    rows, parts = x[row : row + ROWS], slice(part, part + FEATURES)
    shape = len(rows), len(b_enc[parts])
    size = shape[0] * shape[1]
    pre = pre[:size]
    torch.addmm(b_enc[parts], rows, W_enc[:, parts], out=pre.view(shape))
    above[size:] = False
    torch.gt(pre.view(shape), least[parts], out=above[:size].view(shape))
    at = _places(above)
    return at // shape[1] + row, at % shape[1] + part, pre[at]


def _places(mask: Tensor) -> Tensor:
    """Where a Boolean vector holds; few entries do, so it is searched eight at a time."""
    words = mask.view(torch.int64).nonzero()[:, 0]
    word, bit = mask.view(-1, WORD)[words].nonzero(as_tuple=True)
    return words[word] * WORD + bit


def by_rows(code: Callable[[Tensor], Code], x: Tensor, width: int) -> Code:
    """The code of x [rows, d_in], some rows at a time: for rules that look at whole rows."""
    size = max(FEWEST, 2 ** (max(1, DENSE // width).bit_length() - 1))
    if len(x) <= size:
        return code(x)
    starts = range(0, len(x), size)
    return stacked([code(x[first : first + size]) for first in starts], starts, len(x))


def stacked(codes: Sequence[Code], starts: Sequence[int], rows: int) -> Code:
    """Codes of stretches of rows, one below the other."""
    row = torch.cat([code.row + first for code, first in zip(codes, starts, strict=True)])
    part, value = torch.cat([c.part for c in codes]), torch.cat([c.value for c in codes])
    return Code(row, part, value, rows, codes[0].parts)
