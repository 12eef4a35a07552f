"""Circuits of Edge-Pruning (Bhaskar et al. 2024): ``edges.json``, a list of [writer, reader].

Writers are ``a0.h1``, ``m0`` and, where embeddings are nodes, ``tok_embeds`` and ``pos_embeds`` (or
``embeds`` for both); without these the embeddings reach everyone. Readers are ``a0.h1.q``, ``m0`` and
``resid_post``.
"""

from __future__ import annotations

import re
from typing import Any

from assay.explanations.errors import ExplanationError
from assay.models import Network

from .graph import LOGITS, Graph
from .told import CircuitFile, blank, unknown

SPLIT = {"tok_embeds", "pos_embeds"}
SIDE = re.compile(r"(a\d+\.h\d+)\.([qkv])")


def read(content: list[Any], network: Network, path: str) -> CircuitFile:
    """A circuit from the parsed list; raises :class:`ExplanationError`."""
    for i, pair in enumerate(content):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, str) for end in pair)):
            raise ExplanationError(f"{path}: entry {i} is {str(pair)[:60]!r}, expected [from, to]")
    writers = {writer for writer, _ in content}
    graph = Graph.of(network, "split" if writers & SPLIT else "stream")
    edges = blank(graph)
    wrong = []
    for writer, reader in content:
        source = graph.source_index.get("input" if writer == "embeds" else writer)
        target = graph.target_index.get(_target(reader))
        if source is None or target is None or not graph.real[source, target]:
            wrong.append(f"{writer} -> {reader}")
            continue
        edges[0, source, target] = True
    if wrong:
        known = [edge.replace("->", " -> ") for edge in graph.edges(graph.real)]
        raise unknown(path, "edges", wrong, known)
    if not writers & {*SPLIT, "embeds"}:
        edges[0, 0] = True
    return CircuitFile("edge-pruning", path, graph, edges)


def _target(reader: str) -> str:
    if reader == "resid_post":
        return LOGITS
    side = SIDE.fullmatch(reader)
    return f"{side[1]}<{side[2]}>" if side else reader
