"""Circuits from files, each written here as its tool writes it, and files that are none."""

import json
import pickle
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from assay.explanations import Question, Subject, build, gather, weigh
from assay.explanations.circuits import Cut, Graph, cut, read_circuit, read_circuits, size
from assay.explanations.errors import ExplanationError
from assay.models import Network, Transformer, TransformerConfig
from assay.models.storage import UnreadableFile

L, H, D = 2, 3, 12


@pytest.fixture(scope="module")
def net(transformer) -> Network:
    return transformer


def scores(graph: Graph, seed: int = 0) -> torch.Tensor:
    return torch.randn(graph.real.shape, generator=torch.Generator().manual_seed(seed)).double() * graph.real


def eap_json(graph: Graph, told: torch.Tensor, kept: torch.Tensor, **cfg) -> dict:
    """What EAP-IG's Graph.to_json writes."""
    nodes = {name: {"in_graph": bool(kept[i].any())} for i, name in enumerate(graph.sources)}
    nodes["logits"] = {"in_graph": True}
    edges = {}
    for i, source in enumerate(graph.sources):
        for j, target in enumerate(graph.targets):
            if graph.real[i, j]:
                about = {"score": float(told[i, j]), "in_graph": bool(kept[i, j])}
                edges[f"{source}->{target}"] = about
    config = {"n_layers": L, "n_heads": H, "parallel_attn_mlp": False, "d_model": D} | cfg
    return {"cfg": config, "nodes": nodes, "edges": edges}


def eap_torch(graph: Graph, told: torch.Tensor, kept: torch.Tensor) -> dict:
    """What EAP-IG's Graph.to_pt writes."""
    return {
        "cfg": {"n_layers": L, "n_heads": H, "parallel_attn_mlp": False, "d_model": D},
        "src_nodes": list(graph.sources),
        "dst_nodes": list(graph.targets),
        "edges_scores": told.float(),
        "edges_in_graph": kept,
        "nodes_in_graph": kept.any(1),
    }


def write(path: Path, content: object) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_eap_ig(net, tmp_path, suffix):
    graph = Graph.of(net)
    told, kept = scores(graph), torch.rand(graph.real.shape) < 0.5
    kept &= graph.real
    make = eap_json if suffix == ".json" else eap_torch
    got = read_circuit(write(tmp_path / f"c{suffix}", make(graph, told, kept)), net)
    assert got.graph.start == "tokens"
    assert torch.equal(got.edges[0], kept)
    assert torch.allclose(got.scores[0], told, atol=1e-6)
    assert torch.equal(cut(got, Cut())[0][0], kept)


def test_eap_ig_orders_and_counts_as_the_tool_does():
    """GPT-2 small has 32,491 edges (MIB), and forward and backward indices are those of EAP-IG."""
    graph = Graph(12, 12)
    assert int(graph.real.sum()) == 32_491
    assert graph.source_index["a3.h5"] == 1 + 3 * 13 + 5
    assert graph.source_index["m3"] == 1 + 3 * 13 + 12
    assert graph.target_index["a3.h5<k>"] == 3 * 37 + 12 + 5
    assert graph.target_index["m3"] == 3 * 37 + 36
    assert graph.targets[-1] == "logits"


def test_scores_are_cut_by_size_by_sign_and_by_threshold(net, tmp_path):
    graph = Graph.of(net)
    told = scores(graph)
    file = read_circuit(write(tmp_path / "c.pt", eap_torch(graph, told, torch.zeros_like(graph.real))), net)
    ranked = told[graph.real].abs().sort(descending=True).values
    n = len(ranked)
    by_count, _ = cut(file, Cut(count=7))
    assert int(by_count.sum()) == 7
    assert float(told.abs()[by_count[0]].min()) == pytest.approx(float(ranked[6]), abs=1e-6)
    assert int(cut(file, Cut(keep=0.25))[0].sum()) == int(0.25 * n)
    assert torch.equal(cut(file, Cut(threshold=0.5))[0][0], (told.abs() >= 0.5) & graph.real)
    assert torch.equal(cut(file, Cut(threshold=0.5, by="score"))[0][0], told >= 0.5)
    with pytest.raises(ExplanationError, match="not which are kept; give keep="):
        cut(file, Cut())
    with pytest.raises(ExplanationError, match=f"{n + 1} to keep, there are {n}"):
        cut(file, Cut(count=n + 1))
    with pytest.raises(ExplanationError, match="no scores of nodes"):
        cut(file, Cut(keep=0.5, level="node"))


def test_nodes_and_coordinates_of_mib(net, tmp_path):
    graph = Graph.of(net)
    content = eap_json(graph, scores(graph), graph.real)
    values = iter(torch.linspace(1, 2, len(graph.sources)).tolist())
    rows = torch.rand(len(graph.sources), D, generator=torch.Generator().manual_seed(0))
    for i, name in enumerate(graph.sources):
        content["nodes"][name]["score"] = float("nan") if name == "input" else next(values)
        content["nodes"][name]["neurons"] = (rows[i] > 0.5).tolist()
        content["nodes"][name]["neurons_scores"] = rows[i].tolist()
    file = read_circuit(write(tmp_path / "c.json", content), net)
    assert torch.equal(file.neurons, rows > 0.5)
    edges, neurons = cut(file, Cut(count=3, level="node"))
    assert neurons is None
    kept = [name for name, row in zip(graph.sources, edges[0], strict=True) if row.any()]
    assert kept == ["input", *graph.sources[-3:]]  # unscored nodes stay
    edges, neurons = cut(file, Cut(count=10, level="neuron"))
    assert int(neurons.sum()) == 10
    assert torch.equal(edges[0].any(1), neurons.any(1))
    assert size(file) == pytest.approx(
        float((graph.real * (rows > 0.5).double().mean(1)[:, None]).sum() / graph.real.sum())
    )


def test_a_submission_of_nine_circuits(net, tmp_path, tokens):
    graph = Graph.of(net)
    told = scores(graph).abs()
    order = told[graph.real].sort(descending=True).values
    for i, share in enumerate((0.02, 0.05, 0.08, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5)):
        kept = (told >= order[int(share * len(order)) - 1]) & graph.real
        write(tmp_path / f"{i}.json", eap_json(graph, kept.double(), kept))
    assert len(read_circuits(tmp_path, net)) == 9
    subject = Subject("mechanism", net, tokens)
    made = build(f"circuit:{tmp_path},keep=0.3", subject)
    assert size(read_circuits(tmp_path, net)[5]) <= 0.3
    assert int(made.edges.sum()) <= int(0.3 * graph.real.sum())
    with pytest.raises(ExplanationError, match="the smallest circuit keeps"):
        build(f"circuit:{tmp_path},keep=0.001", subject)
    with pytest.raises(ExplanationError, match="9 circuits are chosen from by keep="):
        build(f"circuit:{tmp_path},edges=4", subject)
    few = replace(tokens, inputs=tokens.inputs[:4])
    report = weigh(gather(Question("mechanism", "outputs", precision=4), net, few), [f"circuit:{tmp_path}"])[
        0
    ]
    assert report.explanation.recipe["from"] == "eap-ig"
    (tmp_path / "8.json").unlink()
    with pytest.raises(ExplanationError, match=r"1 or 9 \.json or \.pt files, got 8"):
        read_circuits(tmp_path, net)


def autocircuit(told: torch.Tensor, graph: Graph, positions: int = 0, separate: bool = True) -> dict:
    """Shapes as auto-circuit's make_model_patchable gives them: sources of earlier layers, readers' heads."""
    scores, layers = {}, count(1)
    prefix = (positions,) if positions else ()
    for block in range(L):
        for letter in "qkv" if separate else "":
            columns = [graph.target_index[f"a{block}.h{h}<{letter}>"] for h in range(H)]
            scores[f"blocks.{block}.hook_{letter}_input"] = told[: 1 + block * (H + 1), columns].T.float()
        if not separate:
            columns = [graph.target_index[f"a{block}.h{h}<q>"] for h in range(H)]
            scores[f"blocks.{block}.hook_attn_in"] = told[: 1 + block * (H + 1), columns].T.float()
        column = graph.target_index[f"m{block}"]
        scores[f"blocks.{block}.hook_mlp_in"] = told[: 1 + block * (H + 1) + H, column].float()
        next(layers)
    scores[f"blocks.{L - 1}.hook_resid_post"] = told[:, -1].float()
    return {name: s.expand(*prefix, *s.shape).clone() for name, s in scores.items()}


@pytest.mark.parametrize("positions", [0, 6])
def test_autocircuit(net, tmp_path, positions):
    graph = Graph.of(net, "stream")
    told = scores(graph)
    content = {"IOI": {"Edge attribution": autocircuit(told, graph, positions)}}
    got = read_circuit(write(tmp_path / "task-prune-scores.pkl", content), net)
    assert got.graph.start == "stream"
    assert got.scores.shape == (positions or 1, *graph.real.shape)
    assert torch.allclose(got.scores, told.expand_as(got.scores), atol=1e-6)
    made = build(f"circuit:{tmp_path}/task-prune-scores.pkl,keep=0.5", Subject("mechanism", net))
    assert len(made.edges) == (positions or 1)


def test_autocircuit_with_joint_sides_and_ground_truth(net, tmp_path):
    graph = Graph.of(net, "stream")
    told = (scores(graph).abs() > 0.7).double()
    for layer in range(L):
        for h in range(H):
            q = told[:, graph.target_index[f"a{layer}.h{h}<q>"]]
            for side in "kv":
                told[:, graph.target_index[f"a{layer}.h{h}<{side}>"]] = q
    got = read_circuit(write(tmp_path / "c.pt", autocircuit(told, graph, separate=False)), net)
    assert torch.equal(cut(got, Cut())[0][0], told > 0)  # scores of 0 and 1 are a circuit


def test_edge_pruning(net, tmp_path):
    pairs = [["tok_embeds", "a0.h1.q"], ["pos_embeds", "m0"], ["a0.h1", "m1"], ["m1", "resid_post"]]
    got = read_circuit(write(tmp_path / "edges.json", pairs), net)
    assert got.graph.start == "split"
    expected = ["tok_embeds->a0.h1<q>", "pos_embeds->m0", "a0.h1->m1", "m1->logits"]
    assert sorted(got.graph.edges(got.edges[0])) == sorted(expected)
    bare = read_circuit(write(tmp_path / "bare.json", pairs[2:]), net)
    assert bare.graph.start == "stream"
    assert torch.equal(bare.edges[0, 0], bare.graph.real[0])  # embeddings reach everyone
    assert int(bare.edges[0, 1:].sum()) == 2
    llama = read_circuit(write(tmp_path / "llama.json", [["embeds", "a1.h2.v"], *pairs[2:]]), net)
    assert "input->a1.h2<v>" in llama.graph.edges(llama.edges[0])


GV = """strict digraph "" {
\tgraph [bgcolor=transparent,
\t\toverlap=false,
\t\tsplines=true
\t];
\tnode [label="\\N"];
\t"<m0>"\t[color=black,
\t\tfillcolor="#b3e2cd",
\t\tshape=box,
\t\tstyle="filled, rounded"];
\t"<a1.2_q>"\t[color=black];
\t"<m0>" -> "<a1.2_q>"\t[color="#b3e2cd",
\t\tpenwidth=0.6];
\t"<embed>" -> "<a1.2_v>"\t[penwidth=0.6];
\t"<embed>" -> "<a1.2_k>";
\t"<a1.2_q>" -> "<a1.2>"\t[penwidth=1.2];
\t"<a1.2_v>" -> "<a1.2>";
\t"<embed>" -> "<m0>"; // a comment
\t"<a1.2>" -> "<resid_post>"\t[color="#fff2ae"];
}
"""


def test_acdc(net, tmp_path):
    (tmp_path / "c.gv").write_text(GV)
    got = read_circuit(tmp_path / "c.gv", net)
    assert got.graph.start == "stream"
    # the key of a1.h2 hears the input, but is itself cut off from the head
    expected = {"m0->a1.h2<q>", "input->a1.h2<v>", "input->m0", "a1.h2->logits"}
    assert set(got.graph.edges(got.edges[0])) == expected


def test_acdc_by_hooks_without_sides_and_with_two_embeddings(net, tmp_path):
    lines = [
        "digraph {",
        "<blocks.0.hook_resid_pre[:]> -> <blocks.0.hook_q_input[:, :, 1]>",
        "<blocks.0.attn.hook_result[:, :, 1]> -> <blocks.1.hook_mlp_in[:]> -> <blocks.1.hook_mlp_out[:]>",
        "<blocks.1.hook_mlp_out[:]> -> <blocks.1.hook_resid_post[:]> }",
    ]
    (tmp_path / "c.gv").write_text("\n".join(lines))
    got = read_circuit(tmp_path / "c.gv", net)
    assert set(got.graph.edges(got.edges[0])) == {"input->a0.h1<q>", "a0.h1->m1", "m1->logits"}
    (tmp_path / "d.gv").write_text('digraph { "<token_embeds>" -> "<a0.1>" -> "<resid_post>" }')
    got = read_circuit(tmp_path / "d.gv", net)
    assert set(got.graph.edges(got.edges[0])) == {f"tok_embeds->a0.h1<{s}>" for s in "qkv"} | {
        "a0.h1->logits"
    }


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def hostile(graph: Graph) -> dict[str, tuple[str, object, str]]:
    """Name: (file name, content, the error)."""
    good = eap_json(graph, scores(graph), graph.real)
    flat = eap_torch(graph, scores(graph), graph.real)
    auto = autocircuit(scores(graph), graph)
    return {
        "layers": (
            "c.json",
            good | {"cfg": good["cfg"] | {"n_layers": 7}},
            "n_layers is 7, the network has 2",
        ),
        "heads": (
            "c.json",
            good | {"cfg": good["cfg"] | {"n_heads": 12}},
            "n_heads is 12, the network has 3",
        ),
        "nodes": ("c.json", good | {"nodes": {"a9.h9": {"in_graph": True}}}, "unknown nodes 'a9.h9'"),
        "edges": ("c.json", good | {"edges": {"m1->m0": {"in_graph": True}}}, "unknown edges 'm1->m0'"),
        "flag": ("c.json", good | {"edges": {"input->m0": {"in_graph": "yes"}}}, "in_graph is 'yes'"),
        "score": ("c.json", good | {"edges": {"input->m0": {"score": float("nan")}}}, "NaN or infinite"),
        "huge": ("c.json", good | {"edges": {"input->m0": {"score": 10**400}}}, "NaN or infinite"),
        "keys": ("c.json", {"cfg": good["cfg"], "nodes": {}}, "misses edges"),
        "other": ("c.json", {"weights": [1]}, "with keys weights; expected"),
        "pairs": ("c.json", [["m0", "m1"], ["m0"]], r"entry 1 is .*expected \[from, to\]"),
        "readers": ("c.json", [["m0", "a0.h0.q"]], "unknown edges 'm0 -> a0.h0.q'"),
        "shape": ("c.pt", flat | {"edges_scores": torch.zeros(2, 2)}, r"edges_scores is \(2, 2\), expected"),
        "nothing": ("c.pt", flat | {"edges_in_graph": None}, "misses edges_in_graph"),
        "sources": ("c.pt", flat | {"src_nodes": ["input"]}, "src_nodes misses"),
        "modules": ("c.pt", auto | {"blocks.9.hook_mlp_in": torch.zeros(3)}, "unknown modules"),
        "missing": ("c.pt", dict(list(auto.items())[1:]), "no scores for a0.h0<q>"),
        "width": ("c.pt", auto | {"blocks.0.hook_mlp_in": torch.zeros(99)}, r"is \(99,\), expected \(4,\)"),
        "several": ("c.pt", {"a": auto, "b": auto}, "holds scores of a, b; save one"),
        "list": ("c.pt", [torch.zeros(2)], "holds a list; expected"),
    }


NAMES = list(hostile(Graph(L, H)))


@pytest.mark.parametrize("name", NAMES)
def test_files_that_do_not_fit(net, tmp_path, name):
    file, content, error = hostile(Graph.of(net))[name]
    with pytest.raises(ExplanationError, match=error):
        read_circuit(write(tmp_path / file, content), net)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "expected an EAP-IG"),
        (b"hello", "expected an EAP-IG"),
        (b"\xff\xfe\x00", "neither torch content nor text"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"PK\x03\x04broken", "not a whole torch file of tensors alone"),
        (b"digraph { a [label=b]; }", "has no edges"),
        (b'digraph { "<a9.1>" -> "<m1>" }', "unknown edges 'a9.h1 -> m1'"),
        (b'digraph { x -> "unclosed }', "line 1: "),
        (b"digraph { {a b} -> c }", "does not begin at a node"),
        (b"digraph " + b"/*" * 50_000, "is not dot"),
        (b'digraph "' + b'\\"' * 50_000, "is not dot"),
    ],
)
def test_content_that_is_no_circuit(net, tmp_path, content, error):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(ValueError, match=error):
        read_circuit(tmp_path / "c", net)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_is_never_run(net, tmp_path, capsys, zipped):
    path = tmp_path / "c.pt"
    if zipped:
        torch.save({"cfg": Evil()}, path)
    else:
        path.write_bytes(pickle.dumps({"cfg": Evil()}))
    with pytest.raises(UnreadableFile, match="not a whole torch file of tensors alone"):
        read_circuit(path, net)
    assert "code ran" not in capsys.readouterr().out


def test_a_missing_file_and_another_network(net, mlp, tmp_path):
    with pytest.raises(ExplanationError, match="cannot be read"):
        read_circuit(tmp_path / "nothing.json", net)
    path = write(tmp_path / "c.json", eap_json(Graph(L, H), scores(Graph(L, H)), Graph(L, H).real))
    with pytest.raises(ExplanationError, match="are about transformers"):
        read_circuit(path, mlp)


def test_mlps_that_an_attention_only_network_has_not(tmp_path):
    config = TransformerConfig(L, D, H, 4, 17, 6, attn_only=True)
    net = Network("attention", Transformer(config), "categorical", "token", (6,), vocabulary=17)
    full = Graph(L, H)
    real = full.real.clone()
    for name in ("m0", "m1"):
        real[full.source_index[name]] = real[:, full.target_index[name]] = False
    got = read_circuit(write(tmp_path / "c.json", eap_json(full, real.double(), real)), net)
    assert torch.equal(got.edges[0], got.graph.real)
    flat = read_circuit(write(tmp_path / "c.pt", eap_torch(full, real.double(), real)), net)
    assert torch.equal(flat.edges[0], flat.graph.real)
    with pytest.raises(ExplanationError, match="unknown edges"):
        read_circuit(write(tmp_path / "d.json", eap_json(full, full.real.double(), full.real)), net)


@pytest.mark.parametrize("donor", ["zero", "mean", "mean-positional", "resample"])
def test_specs_name_file_size_and_donor(net, tmp_path, tokens, donor):
    graph = Graph.of(net)
    write(tmp_path / "c.json", eap_json(graph, scores(graph), graph.real))
    made = build(f"circuit:{tmp_path}/c.json,edges=20,donor={donor}", Subject("mechanism", net, tokens))
    assert int(made.edges.sum()) <= 20
    assert (made.recipe()["donor"], made.recipe()["count"]) == (donor, 20)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("keep=2", r"keep must be in \(0, 1\]"),
        ("keep=0.5,edges=3", "one of keep=, edges= and threshold="),
        ("by=size,keep=0.5", "by is 'size', expected abs or score"),
        ("threshold=nan", "not a number"),
        ("edges=-1", "must not be negative"),
        ("donor=noise", "donor 'noise' is not one of"),
        ("method=eap", "unknown option method"),
    ],
)
def test_specs_that_are_wrong(net, tmp_path, tokens, options, error):
    graph = Graph.of(net)
    write(tmp_path / "c.json", eap_json(graph, scores(graph), graph.real))
    with pytest.raises(ExplanationError, match=error):
        build(f"circuit:{tmp_path}/c.json,{options}", Subject("mechanism", net, tokens))
