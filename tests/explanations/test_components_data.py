"""The data of a run are drawn as its configuration says."""

import numpy as np
import pytest
import torch
import yaml
from assay.models import InputError, UnreadableFile, load, load_dataset
from assay.models.formats.run_data import usual_data

from .decomposition_runs import RESID, newer, residual_run, residual_state, spd_run

TASK = {"task_name": "tms", "feature_probability": 0.2, "data_generation_type": "at_least_zero_active"}


def test_features_are_drawn_as_the_run_is_configured(tmp_path):
    run = spd_run(tmp_path / "run", newer(), {"task_config": TASK})
    data = load_dataset(str(run), load(str(run)), 4000, 3)
    assert data.inputs.shape == (4000, 5)
    assert float((data.inputs > 0).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert float(data.inputs[data.inputs > 0].mean()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(data.inputs, load_dataset(str(run), load(str(run)), 4000, 3).inputs)
    assert data.scope.distribution == "each feature is active with probability 0.2, then uniform on [0, 1)"


def test_residual_networks_see_both_signs_and_synced_features(tmp_path):
    config = {**RESID, "act_fn_name": "gelu"}
    run = residual_run(tmp_path / "run", residual_state(), config, "resid_mlp_config")
    train = {"resid_mlp_config": config, "synced_inputs": [[0, 3]]}
    (run / "resid_mlp_train_config.yaml").write_text(yaml.dump(train))
    (run / "final_config.yaml").write_text(yaml.dump({"task_config": TASK}))
    x = load_dataset(str(run), load(str(run)), 3000).inputs
    assert float(x[x != 0].mean()) == pytest.approx(0, abs=0.03)
    assert x.min() < -0.9
    assert torch.equal(x[:, 0] != 0, x[:, 3] != 0)
    assert float((x[:, 0] != 0).float().mean()) == pytest.approx(1 - 0.8**2, abs=0.03)
    assert not torch.equal(x[:, 0], x[:, 3])


def test_a_fixed_number_of_features(tmp_path):
    task = {**TASK, "data_generation_type": "exactly_two_active"}
    run = spd_run(tmp_path / "run", newer(), {"task_config": task})
    x = load_dataset(str(run), load(str(run)), 200).inputs
    assert ((x > 0).sum(1) == 2).all()


def test_what_cannot_be_drawn_is_named(tmp_path):
    run = spd_run(tmp_path / "run", newer())
    network = load(str(run))
    with pytest.raises(UnreadableFile, match=r"data_generation_type is 'None'.*--data"):
        load_dataset(str(run), network)
    (run / "final_config.yaml").write_text(yaml.dump({"data_generation_type": "exactly_five_active"}))
    assert load_dataset(str(run), network, 10).inputs.shape == (10, 5)
    small = residual_run(tmp_path / "small", residual_state(), {**RESID, "act_fn_name": "relu"}, "")
    (small / "final_config.yaml").write_text(yaml.dump({"data_generation_type": "exactly_nine_active"}))
    with pytest.raises(InputError, match="exactly_nine_active"):
        load_dataset(str(small), load(str(small)))


def test_a_model_is_scored_on_the_data_of_its_run_by_default(tmp_path):
    run = spd_run(tmp_path / "run", newer())
    assert usual_data("zoo:tms-5-2") == "zoo"
    assert usual_data("elsewhere.onnx") == "zoo"
    assert (
        usual_data(f"{run}@0") == usual_data(str(run)) == usual_data(str(run / "model_900.pth")) == str(run)
    )


def test_other_files_in_the_folder_of_a_run_are_read_as_what_they_are(tmp_path):
    run = spd_run(tmp_path / "run", newer())
    network = load(str(run))
    np.save(run / "x.npy", torch.rand(7, 5).numpy())
    assert len(load_dataset(str(run / "x.npy"), network)) == 7
