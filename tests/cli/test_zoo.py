from __future__ import annotations

import json

import torch
from assay.models import load, zoo


def test_list_holds_every_network_with_its_figures(run):
    made = json.loads(run("zoo", "list", "--json").stdout)
    assert [card["name"] for card in made["networks"]] == list(zoo.names())
    shown = run("zoo", "list").stdout
    assert all(name in shown for name in zoo.names())


def test_export_writes_the_shipped_network(run, tmp_path):
    assert run("zoo", "export", "tms-5-2", "--out", "made").exit_code == 0
    assert load(str(tmp_path / "made" / "tms-5-2.safetensors")).digest == load("zoo:tms-5-2").digest
    assert json.loads((tmp_path / "made" / "tms-5-2.json").read_text())["name"] == "tms-5-2"


def test_train_writes_a_network_and_its_card(run, tmp_path, monkeypatch):
    from dataclasses import replace

    entry = zoo.entry("tms-5-2")
    trained = load("zoo:tms-5-2").with_weights(
        {n: 2 * w for n, w in load("zoo:tms-5-2").parameters().items()}
    )
    quick = replace(entry, train=lambda seed, progress: trained, card_data=64)
    monkeypatch.setattr("assay.models.zoo.catalogue._entries", lambda: {"tms-5-2": quick})
    done = run("zoo", "train", "tms-5-2", "--out", "made", "--seed", "7", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["path"] == "made/tms-5-2.safetensors"
    assert load(str(tmp_path / "made" / "tms-5-2.safetensors")).digest == trained.digest
    assert json.loads((tmp_path / "made" / "tms-5-2.json").read_text())["recipe"]["seed"] == 7


def test_a_shipped_explanation_trains_into_the_folder(run, tmp_path, monkeypatch):
    from assay.explanations import shipped
    from safetensors.torch import save_file

    def quick(name, progress, out):
        save_file({"A": torch.ones(2)}, out / f"{name}.safetensors")

    monkeypatch.setattr(shipped, "train", quick)
    done = run("zoo", "train", "tms-5-2-spd", "--out", "made", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["path"] == "made/tms-5-2-spd.safetensors"
    assert run("zoo", "train", "tms-5-2-spd", "--seed", "1").exit_code == 2
