"""From a model, data and specs to reports, end to end, in every setting and target."""

import math
from pathlib import Path

import pytest
import torch
from assay.explanations import ExplanationError, Question, gather, save_saelens, weigh, weigh_one
from assay.explanations.weighing import digest
from assay.explanations.whole import WholeNetwork
from assay.mdl import comparison, kl_bits
from assay.models import Dataset, Scope, load

from .conftest import sae

SITE = "blocks.0.hook_resid_post"


@pytest.fixture(scope="module")
def tms_mechanisms(tms, tms_data):
    question = Question("mechanism", "outputs", delta=0.05)
    specs = ("components,from=truth", "components,from=svd", "neurons", "network", "lookup", "answers",
             "components,from=truth,active=always,name=all relevant", "circuit,keep=0.9")  # fmt: skip
    return {r.explanation.name: r for r in weigh(gather(question, tms, tms_data.take(200)), specs)}


def test_true_components_are_shortest_at_one_datum(tms_mechanisms):
    at_one = {name: r.law.at[1] for name, r in tms_mechanisms.items() if name != "answers alone"}
    assert min(at_one, key=at_one.get) == "true components"


def test_the_whole_network_pays_at_once_and_the_lookup_table_for_ever(tms_mechanisms):
    network, lookup = (tms_mechanisms[n].law.law() for n in ("whole network", "lookup table"))
    assert network.part_bits(1) == network.part_bits(10**6)
    assert lookup.part_bits(10**6) > 100 * network.part_bits(10**6)
    assert tms_mechanisms["whole network"].section("support") * 200 < 10


@pytest.mark.parametrize("family", ["gpt2", "pythia", "llama", "gemma2"])
def test_networks_of_every_family_reach_a_receiver_who_knows_none_of_their_numbers(family):
    """What rotary positions turn by belongs to the architecture, as shapes do."""
    network = load(str(Path(__file__).parents[1] / "models" / "golden" / "hf" / family))
    drawn = torch.randint(network.vocabulary, (3, 8), generator=torch.Generator().manual_seed(0))
    data = Dataset("drawn", drawn, None, "sequence", Scope("tokens", "uniform"))
    specs = ["network", "neurons", "circuit,method=eap,keep=0.8", "circuit,method=attribution,keep=0.5"]
    reports = weigh(gather(Question("mechanism", "outputs", precision=12), network, data), specs)
    assert [r.faithfulness["kl_bits"] < 1 for r in reports][:2] == [True, True]


def test_reports_about_one_thing_compare(tms_mechanisms):
    made = comparison(list(tms_mechanisms.values()), baseline="whole network")
    assert len(made.rows) == len(tms_mechanisms) == 8
    assert set(made.break_even("whole network")) == set(tms_mechanisms) - {"whole network"}
    for row in made.rows:
        low, high = row.interval
        assert low - 1e-9 <= row.total <= high + 1e-9


@pytest.mark.parametrize(("setting", "target"), [("site", "activations"), ("site", "outputs")])
def test_site_scores_of_a_toy_model(setting, target, tms, tms_data):
    question = Question(setting, target, site="hook_hidden", delta=0.02)
    reports = weigh(gather(question, tms, tms_data), ("neurons", "pca", "lookup"))
    for report in reports:
        assert report.ledger.total == math.fsum(line.bits for line in report.ledger.lines) > 0
        assert report.scope.receiver_knows.startswith("nothing" if target == "activations" else "the network")
        assert (report.samples, report.scope.rows) == (400, 400)
    assert [r.explanation.kind for r in reports] == ["neurons", "pca", "lookup"]
    comparison(reports)


@pytest.fixture(scope="module")
def language_model(transformer, tokens, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sae")
    save_saelens(sae("topk", SITE), folder)
    mechanism = gather(Question("mechanism", "outputs", precision=10), transformer, tokens)
    specs = ("network", "neurons", f"sae:{folder}", "circuit,keep=0.6", "answers",
             "components,from=svd,weights=blocks.0.mlp.W_in+blocks.0.mlp.W_out")  # fmt: skip
    return {r.explanation.kind: r for r in weigh(mechanism, specs, command="as typed")}


def test_all_kinds_in_one_table_on_a_transformer(language_model):
    made = comparison(list(language_model.values()))
    assert len(made.rows) == 6
    for report in language_model.values():
        assert report.samples == 48 * 6
        assert report.ledger.lines[-1].status == "estimate"
        assert report.environment.command == "as typed"
        assert report.checks == {"decodes": True}
    faithful = {kind: r.faithfulness["kl_bits"] for kind, r in language_model.items()}
    assert faithful["network"] < faithful["sae"]
    assert faithful["network"] < faithful["answers"] / 5
    assert faithful["neurons"] == pytest.approx(faithful["network"], abs=1e-3)


def test_the_kl_of_a_report_is_the_kl_of_its_prediction(transformer, tokens):
    evidence = gather(Question("mechanism", "outputs", precision=5), transformer, tokens)
    explanation = WholeNetwork(transformer)
    report = weigh_one(evidence, explanation)
    from assay.mdl.parts import send_parts

    restored = send_parts(explanation.parts(), 5).restored
    told = explanation.predict(restored, tokens.inputs, explanation.active(restored, tokens.inputs))
    by_hand = float(kl_bits(transformer(tokens.inputs).flatten(0, 1), told.flatten(0, 1)).mean())
    assert report.faithfulness["kl_bits"] == pytest.approx(by_hand, rel=1e-3)


@pytest.mark.parametrize("target", ["activations", "outputs"])
def test_site_scores_of_a_transformer(target, transformer, tokens, tmp_path):
    save_saelens(sae("jumprelu", SITE), tmp_path)
    question = Question("site", target, site=SITE, delta=0.1)
    reports = weigh(gather(question, transformer, tokens), ("neurons", f"sae:{tmp_path}", "pca,k=4"))
    for report in reports:
        assert (report.samples, report.scope.data, report.scope.unit) == (288, 48, "token")
    figure = "fvu" if target == "activations" else "kl_bits"
    assert all(figure in r.faithfulness for r in reports)


def test_the_batch_size_does_not_matter(transformer, tokens):
    question = Question("site", "activations", site=SITE, delta=0.1)
    reports = [
        weigh(gather(question, transformer, tokens, batch_size=b), ("pca",))[0].model_dump(by_alias=True)
        for b in (1, 7, 48)
    ]
    assert reports[0] == reports[1] == reports[2]


def test_weighing_twice_gives_the_same_report(tms, tms_data):
    evidence = gather(Question("mechanism", "outputs", delta=0.05), tms, tms_data.take(50))
    once, again = (weigh(evidence, ("components,from=truth",))[0] for _ in range(2))
    assert once == again


def test_digests_tell_explanations_apart(tms, tms_data):
    evidence = gather(Question("mechanism", "outputs", delta=0.05), tms, tms_data.take(20))
    made = weigh(evidence, ("network", "components,from=svd", "components,from=truth", "circuit,keep=0.5"))
    assert len({r.explanation.digest for r in made}) == 4
    changed = tms.with_weights({"b": tms.parameters()["b"] + 1e-3})
    assert digest(WholeNetwork(tms)) != digest(WholeNetwork(changed))


def test_progress_is_told(tms, tms_data):
    seen = []
    evidence = gather(Question("mechanism", "outputs", delta=0.05), tms, tms_data.take(40))
    weigh(evidence, ("network",), progress=lambda name, done, total: seen.append((name, done, total)))
    assert seen[-1] == ("whole network", 40, 40)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"setting": "mechanism", "target": "activations"}, "the mechanism setting explains outputs"),
        (
            {"setting": "site", "target": "activations", "delta": 0.0},
            "delta must be a positive number, got 0",
        ),
        ({"setting": "site", "target": "activations", "delta": math.nan}, "delta must be a positive number"),
        ({"setting": "site", "target": "activations", "delta": math.inf}, "delta must be a positive number"),
    ],
)
def test_questions_that_make_no_sense_are_refused(about, message):
    with pytest.raises(ExplanationError, match=message):
        Question(**about)


def test_a_question_without_its_site_or_grid_is_refused(tms, tms_data):
    with pytest.raises(ExplanationError, match="needs a site"):
        gather(Question("site", "activations", delta=0.1), tms, tms_data)
    evidence = gather(Question("mechanism", "outputs"), tms, tms_data)
    with pytest.raises(ExplanationError, match="give its step"):
        weigh(evidence, ("network",))


def test_activations_that_are_not_finite_are_refused(tms, tms_data):
    broken = tms.with_weights({"W": torch.full((2, 5), float("inf"))})
    with pytest.raises(ValueError, match="NaN or infinite"):
        gather(Question("site", "activations", site="hook_hidden", delta=0.1), broken, tms_data)
