"""Circuits of EAP-IG and of the Mechanistic Interpretability Benchmark (MIB), in both their files.

JSON: ``{cfg, nodes: {name: {in_graph, score?, neurons?, neurons_scores?}}, edges: {name: {in_graph,
score?}}}``. Torch: ``{cfg, src_nodes, dst_nodes, edges_in_graph, edges_scores?, nodes_in_graph, …}``. Their
``cfg`` holds n_layers, n_heads, parallel_attn_mlp and d_model, and has to be that of the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from assay.explanations.errors import ExplanationError
from assay.models import Network, Transformer
from torch import Tensor

from .graph import LOGITS, Graph
from .told import CircuitFile, blank, finite, real, unknown

KEYS = {"cfg", "src_nodes", "dst_nodes", "edges_in_graph", "edges_scores", "nodes_in_graph", "edges", "nodes"}
OF_JSON = ("nodes", "edges")
OF_TORCH = ("src_nodes", "dst_nodes", "edges_in_graph", "nodes_in_graph")


def read(content: Mapping[str, Any], network: Network, path: str) -> CircuitFile:
    """A circuit from parsed JSON or torch content; raises :class:`ExplanationError`."""
    graph = Graph.of(network, "tokens")
    _check_config(content["cfg"], network, graph, path)
    if "edges_in_graph" in content or "src_nodes" in content:
        return _torch(content, network, graph, path)
    _has(content, OF_JSON, path)
    return _json(content, network, graph, path)


def _has(content: Mapping[str, Any], keys: Sequence[str], path: str) -> None:
    if missing := [key for key in keys if content.get(key) is None]:
        raise ExplanationError(f"{path}: misses {', '.join(missing)} beside {', '.join(map(str, content))}")


def _check_config(told: Any, network: Network, graph: Graph, path: str) -> None:
    assert isinstance(network.module, Transformer)
    own = {
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "parallel_attn_mlp": graph.parallel,
        "d_model": network.module.config.d_model,
    }
    if not isinstance(told, Mapping):
        raise ExplanationError(f"{path}: cfg is a {type(told).__name__}, expected {', '.join(own)}")
    wrong = [
        f"{key} is {told[key]!r}, the network has {own[key]!r}" for key in own if _differs(told, own, key)
    ]
    if wrong:
        raise ExplanationError(f"{path}: cfg does not fit {network.name!r}: {'; '.join(wrong)}")


def _differs(told: Mapping[str, Any], own: Mapping[str, object], key: str) -> bool:
    return key in told and told[key] is not None and told[key] != own[key]


def _json(content: Mapping[str, Any], network: Network, graph: Graph, path: str) -> CircuitFile:
    edges, scores = blank(graph), blank(graph).double()
    wrong, scored = [], False
    for name, about in _entries(content["edges"], "edges", path):
        place = _edge(graph, name)
        if place is None:
            wrong += [] if _absent(graph, name, about) else [name]
            continue
        edges[(0, *place)] = _flag(about, f"{path}: edges.{name}")
        if (score := _number(about, f"{path}: edges.{name}")) is not None:
            scored, scores[(0, *place)] = True, score
    if wrong:
        raise unknown(path, "edges", wrong, list(graph.edges(graph.real)))
    told = CircuitFile("eap-ig", path, graph, edges, finite(path, "scores", scores) if scored else None)
    return _with_nodes(told, content["nodes"], network)


def _entries(table: Any, key: str, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Named objects; MIB allows a bare flag in place of an object."""
    if not isinstance(table, Mapping):
        raise ExplanationError(f"{path}: {key} is a {type(table).__name__}, expected an object by name")
    entries = [
        (name, {"in_graph": about} if isinstance(about, bool) else about) for name, about in table.items()
    ]
    if wrong := [name for name, about in entries if not isinstance(about, Mapping)]:
        raise ExplanationError(f"{path}: {key}.{wrong[0]} is no object with in_graph and score")
    return entries


def _edge(graph: Graph, name: str) -> tuple[int, int] | None:
    source, _, target = name.partition("->")
    place = graph.source_index.get(source), graph.target_index.get(target)
    if place[0] is None or place[1] is None or not graph.real[place[0], place[1]]:
        return None
    return place[0], place[1]


def _absent(graph: Graph, name: str, about: Mapping[str, Any]) -> bool:
    """An edge of an MLP that an attention-only network has not, and the circuit has not either."""
    if graph.mlps or about.get("in_graph") or about.get("score"):
        return False
    return any(end.startswith("m") for end in name.split("->"))


def _flag(about: Mapping[str, Any], where: str) -> bool:
    flag = about.get("in_graph", False)
    if not isinstance(flag, bool):
        raise ExplanationError(f"{where}: in_graph is {flag!r}, expected true or false")
    return flag


def _number(about: Mapping[str, Any], where: str) -> float | None:
    score = about.get("score")
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise ExplanationError(f"{where}: score is {score!r}, expected a number")
    return real(score)


def _with_nodes(told: CircuitFile, table: Any, network: Network) -> CircuitFile:
    """The same with scores of nodes and coordinates, where nodes have any."""
    assert isinstance(network.module, Transformer)
    d, graph, path = network.module.config.d_model, told.graph, told.path
    entries = [(name, about) for name, about in _entries(table, "nodes", path) if name != LOGITS]
    entries = [(n, about) for n, about in entries if graph.mlps or not n.startswith("m")]
    if wrong := [name for name, _ in entries if name not in graph.source_index]:
        raise unknown(path, "nodes", wrong, graph.sources)
    node_scores = torch.full((len(graph.sources),), math.nan, dtype=torch.float64)
    rows: dict[str, Tensor] = {}
    for name, about in entries:
        score = _number(about, f"{path}: nodes.{name}")
        node_scores[graph.source_index[name]] = math.nan if score is None else score
        for key in ("neurons", "neurons_scores"):
            if key in about:
                empty = torch.full((len(graph.sources), d), math.nan if "scores" in key else 1.0)
                rows.setdefault(key, empty.double())[graph.source_index[name]] = _row(
                    about[key], d, path, name
                )
    return CircuitFile(
        told.format,
        path,
        graph,
        told.edges,
        told.scores,
        None if bool(node_scores.isnan().all()) else node_scores,
        rows["neurons"] > 0 if "neurons" in rows else None,
        rows.get("neurons_scores"),
    )


def _row(values: Any, d: int, path: str, name: str) -> Tensor:
    plain = isinstance(values, list) and all(isinstance(v, int | float) for v in values)
    if not plain or len(values) != d:
        raise ExplanationError(f"{path}: nodes.{name}: neurons are a list of {d} numbers, one a coordinate")
    return torch.tensor([real(v) for v in values], dtype=torch.float64)


def _torch(content: Mapping[str, Any], network: Network, graph: Graph, path: str) -> CircuitFile:
    assert isinstance(network.module, Transformer)
    _has(content, OF_TORCH, path)
    rows = _places(content["src_nodes"], graph.source_index, graph, "src_nodes", path)
    columns = _places(content["dst_nodes"], graph.target_index, graph, "dst_nodes", path)
    shape = (len(rows), len(columns))
    edges = _matrix(content, "edges_in_graph", shape, path)
    assert edges is not None  # it is one of OF_TORCH
    scores = _matrix(content, "edges_scores", shape, path)
    node_scores = _matrix(content, "nodes_scores", shape[:1], path)
    wide = (len(rows), network.module.config.d_model)
    neurons, neuron_scores = (
        _matrix(content, key, wide, path) for key in ("neurons_in_graph", "neurons_scores")
    )

    in_graph = _placed(graph, edges, rows, columns)
    kept = _by_source(graph, neurons, rows, 1.0)
    return CircuitFile(
        "eap-ig",
        path,
        graph,
        in_graph > 0,
        None if scores is None else finite(path, "edges_scores", _placed(graph, scores, rows, columns)),
        _by_source(graph, node_scores, rows, math.nan),
        None if kept is None else kept > 0,
        _by_source(graph, neuron_scores, rows, math.nan),
    )


def _placed(graph: Graph, matrix: Tensor, rows: list[int | None], columns: list[int | None]) -> Tensor:
    """A file's matrix [its sources, its targets] in the graph's order: [1, sources, targets]."""
    full = torch.zeros(1, *graph.real.shape, dtype=torch.float64)
    row, column = ([i for i, place in enumerate(places) if place is not None] for places in (rows, columns))
    to = torch.tensor([rows[i] for i in row])[:, None], torch.tensor([columns[j] for j in column])
    full[0][to] = matrix[row][:, column].double()
    return full * graph.real


def _by_source(graph: Graph, matrix: Tensor | None, rows: list[int | None], missing: float) -> Tensor | None:
    """A file's rows in the graph's order, where there are any."""
    if matrix is None:
        return None
    full = torch.full((len(graph.sources), *matrix.shape[1:]), missing, dtype=torch.float64)
    for i, row in enumerate(rows):
        if row is not None:
            full[row] = matrix[i].double()
    return full


def _places(names: Any, index: Mapping[str, int], graph: Graph, key: str, path: str) -> list[int | None]:
    """Where each name stands; None for MLPs that an attention-only network has not."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ExplanationError(f"{path}: {key} is no list of names")
    here = [name for name in names if graph.mlps or not name.startswith("m")]
    if wrong := [name for name in here if name not in index]:
        raise unknown(path, key, wrong, list(index))
    if missing := [name for name in index if name not in names]:
        raise ExplanationError(f"{path}: {key} misses {', '.join(missing[:4])}")
    return [index.get(name) for name in names]


def _matrix(content: Mapping[str, Any], key: str, shape: tuple[int, ...], path: str) -> Tensor | None:
    value = content.get(key)
    if value is None:
        return None
    if not isinstance(value, Tensor) or tuple(value.shape) != shape:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ExplanationError(f"{path}: {key} is {got}, expected a tensor {shape}")
    return value
