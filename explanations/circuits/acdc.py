"""Circuits of ACDC (Conmy et al. 2023): the graph that it draws, in the dot language.

Nodes are called ``<a0.1_q>``, ``<a0.1>``, ``<m0>``, ``<embed>`` (or ``<token_embeds>``, ``<pos_embeds>``) and
``<resid_post>``, or by hook and index, ``<blocks.0.hook_q_input[:, :, 1]>``. Edges inside a head, from its
input to its query, are not edges of the residual stream: where a file has any, a side of a head without one
is cut off. Where sides are not told apart an edge to a head is an edge to all three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from assay.explanations.errors import ExplanationError
from assay.models import Network

from .graph import LOGITS, SIDES, Graph
from .told import CircuitFile, blank, unknown

TOKEN = re.compile(
    r"""\s*(?:(?P<arrow>->|--)|(?P<mark>[{}\[\];,=:])|"(?P<quoted>(?:[^"\\]|\\.)*)"|"""
    r"""(?P<html><[^<>]*>)|(?P<plain>[\w.\-+\#]+))""",
    re.DOTALL,
)
COMMENT = re.compile(
    r'("(?:[^"\\]|\\.)*(?:"|\Z))|//[^\n]*|/\*(?:.*?\*/|.*)|^[ \t]*#[^\n]*', re.DOTALL | re.MULTILINE
)
SHORT = re.compile(r"a(?P<layer>\d+)\.(?P<head>\d+)(?:_(?P<side>[qkv]))?|m(?P<mlp>\d+)")
HOOK = re.compile(
    r"blocks\.(?P<layer>\d+)\.(?:attn\.)?hook_(?P<what>q_input|k_input|v_input|q|k|v|result|mlp_in|mlp_out|"
    r"resid_pre|resid_mid|resid_post)(?:\[(?P<index>[^\]]*)\])?"
)
EMBEDDINGS = {"token_embeds": "tok_embeds", "hook_embed": "tok_embeds"} | {
    "pos_embeds": "pos_embeds",
    "hook_pos_embed": "pos_embeds",
}


def read(text: str, network: Network, path: str) -> CircuitFile:
    """A circuit from the text of a ``.gv`` file; raises :class:`ExplanationError`."""
    pairs = [(_node(a), _node(b)) for a, b in arrows(text, path)]
    if not pairs:
        raise ExplanationError(f"{path}: the drawing has no edges, so it says nothing about the circuit")
    split = any(a in ("tok_embeds", "pos_embeds") for a, _ in pairs)
    graph = Graph.of(network, "split" if split else "stream")
    inside = {a for a, b in pairs if a.endswith((")", ">")) and a.partition("<")[0] == b.partition("(")[0]}
    edges, wrong = blank(graph), []
    for a, b in pairs:
        if a.partition("<")[0].partition("(")[0] == b.partition("<")[0].partition("(")[0]:
            continue
        targets = _sides(graph, b)
        places = [(graph.source_index.get(a), graph.target_index.get(t)) for t in targets]
        for i, j in places:
            if i is None or j is None or not graph.real[i, j]:
                wrong.append(f"{a} -> {b}")
            elif not inside or "<" not in b or b in inside:
                edges[0, i, j] = True
    if wrong:
        raise unknown(path, "edges", wrong, list(graph.edges(graph.real)))
    return CircuitFile("acdc", path, graph, edges)


def _sides(graph: Graph, target: str) -> list[str]:
    """A target, or the three inputs of a head that is named whole."""
    if target.startswith("a") and "<" not in target:
        return [f"{target}<{side}>" for side in SIDES]
    return [target]


def without_comments(text: str) -> str:
    """The text without comments; what stands in quotes is kept."""
    return COMMENT.sub(lambda match: match[1] or " ", text)


def arrows(text: str, path: str) -> Iterator[tuple[str, str]]:
    """The edges of a graph in the dot language, chains taken apart; attributes are passed over."""
    chain: list[str] = []
    waiting = False
    depth = 0
    for kind, value in _tokens(without_comments(text), path):
        if kind == "mark" and value in "[]":
            depth += 1 if value == "[" else -1
            continue
        if depth:
            continue
        if kind == "arrow":
            if not chain:
                raise ExplanationError(f"{path}: an edge that does not begin at a node; edges join two nodes")
            waiting = True
        elif kind == "mark":
            chain, waiting = [], False
        elif waiting:
            yield chain[-1], value
            chain, waiting = [value], False
        else:
            chain = [value]


def _tokens(text: str, path: str) -> Iterator[tuple[str, str]]:
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            line = text.count("\n", 0, place) + 1
            raise ExplanationError(f"{path}: line {line}: {text[place : place + 20]!r} is not dot")
        assert match.lastgroup is not None
        yield match.lastgroup, match[match.lastgroup]
        place = match.end()


def _node(name: str) -> str:
    """Our name of a node; what is inside a head gets parentheses: ``a0.h1(q)``."""
    name = name.strip().removeprefix("<").removesuffix(">")
    if name.partition("_[")[0] == "embed":
        return "input"
    if name.partition("[")[0] in EMBEDDINGS:
        return EMBEDDINGS[name.partition("[")[0]]
    if name == "resid_post":
        return LOGITS
    if (short := SHORT.fullmatch(name)) is not None:
        if short["mlp"]:
            return f"m{short['mlp']}"
        head = f"a{short['layer']}.h{short['head']}"
        return f"{head}<{short['side']}>" if short["side"] else head
    hook = HOOK.fullmatch(name)
    return name if hook is None else _hooked(hook)


def _hooked(hook: re.Match[str]) -> str:
    layer, what = hook["layer"], hook["what"]
    if what in ("mlp_in", "mlp_out", "resid_mid"):
        return f"m{layer}"
    if what == "resid_post":
        return LOGITS
    if what == "resid_pre":
        return "input"
    head = f"a{layer}.h{(hook['index'] or '').rpartition(',')[2].strip()}"
    if what == "result":
        return head
    return f"{head}<{what[0]}>" if what.endswith("_input") else f"{head}({what})"
