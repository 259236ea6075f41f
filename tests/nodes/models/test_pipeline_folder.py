"""Folders as people have them: safetensors or .bin, in one file or shards, in several variants."""
import json
import shutil

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.pipeline_folder import load_network, read_scheduler

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    from diffusers import UNet2DConditionModel

    from tiny_sd import write_folder

    folder = tmp_path_factory.mktemp("model")
    write_folder(folder / "sd1", "sd1")
    return UNet2DConditionModel.from_pretrained(folder / "sd1" / "unet")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("is_safe", [True, False])
@pytest.mark.parametrize("variants", [(None,), ("fp16",), ("bf16",), ("non_ema",), (None, "fp16"), (None, "non_ema")])
def test_the_right_weights_are_read(tmp_path, network, variants, is_safe, shards, dtype):
    for number, variant in enumerate(variants):
        with torch.no_grad():
            network.conv_in.bias.fill_(number)
        network.save_pretrained(tmp_path / "unet", safe_serialization=is_safe, variant=variant,
                                max_shard_size="1MB" if shards else "1GB")
    found = load_network(type(network), tmp_path / "unet", "Test", dtype)
    wanted = 1 if variants == (None, "fp16") and dtype == torch.float16 else 0
    assert found.dtype == dtype and (found.conv_in.bias == wanted).all()


def test_what_is_missing_is_named(tmp_path, network):
    with pytest.raises(DistillError, match='Test: the folder .* has no part "vae"'):
        load_network(type(network), tmp_path / "vae", "Test")
    network.save_pretrained(tmp_path / "unet")
    for path in (tmp_path / "unet").glob("*.safetensors"):
        path.unlink()
    with pytest.raises(DistillError, match="holds no weights"):
        load_network(type(network), tmp_path / "unet", "Test")
    shutil.rmtree(tmp_path / "unet")


@pytest.mark.parametrize("name, value", [("layers_per_block", 2**31), ("norm_num_groups", 10**30)])
def test_a_configuration_that_would_fill_the_memory_is_refused(tmp_path, network, name, value):
    network.save_pretrained(tmp_path / "unet")
    path = tmp_path / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(DistillError, match=f'"{name}" in config.json is .*, more than'):
        load_network(type(network), tmp_path / "unet", "Test")


def test_so_is_a_noise_of_too_many_timesteps(tmp_path):
    config = {"_class_name": "DDPMScheduler", "num_train_timesteps": 2**31}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
    with pytest.raises(DistillError, match="num_train_timesteps.* is 2.147e.09, more than 100000"):
        read_scheduler(tmp_path, "Test")
