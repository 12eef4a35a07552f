"""Active sets: which parts are active on which rows, entry by entry, for what no memory holds as a matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tally import Ints


@dataclass(frozen=True, eq=False)
class Active:
    """Entries (row, part) of a Boolean matrix [rows, parts], in row order and in order of parts on a row."""

    row: Ints
    part: Ints
    rows: int
    parts: int

    @classmethod
    def of(cls, matrix: Ints) -> Active:
        """The entries of a matrix [rows, parts] that are not zero."""
        row, part = matrix.nonzero()
        return cls(row, part, *matrix.shape)

    @classmethod
    def at(cls, row: Ints, part: Ints, rows: int, parts: int) -> Active:
        """From entries in any order."""
        place = np.sort(row * parts + part)
        return cls(place // max(parts, 1), place % max(parts, 1), rows, parts)

    def dense(self) -> Ints:
        """0/1 [rows, parts]."""
        matrix = np.zeros((self.rows, self.parts), dtype=np.int64)
        matrix[self.row, self.part] = 1
        return matrix

    @property
    def counts(self) -> Ints:
        """On how many rows each part is active [parts]."""
        return np.bincount(self.part, minlength=self.parts)

    @property
    def sizes(self) -> Ints:
        """How many parts each row has [rows]."""
        return np.bincount(self.row, minlength=self.rows)

    def between(self, start: int, stop: int) -> Active:
        """The entries of rows start … stop − 1, which are numbered from 0."""
        first, last = np.searchsorted(self.row, (start, stop))
        return Active(self.row[first:last] - start, self.part[first:last], stop - start, self.parts)
