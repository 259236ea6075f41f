"""Folders as people have them: safetensors or .bin, in one file or shards, in several variants."""
import shutil

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.pipeline_folder import load_network

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
