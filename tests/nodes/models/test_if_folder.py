"""Folders that are no IF stage I model, or a damaged one: one sentence, before the weights are read where possible."""
import json
import shutil
import sys

import pytest
import torch

from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.if_folder import PARTS
from distill3d.nodes.priors import deepfloyd_if
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF

WEIGHTS = ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")


@pytest.fixture
def folder(tiny_if, tmp_path):
    return shutil.copytree(tiny_if, tmp_path / "model")


def refusal(folder):
    """What is said when the model is used; networks are read when they are first needed."""
    with pytest.raises(DistillError) as caught:
        prior = DeepFloydIF(str(folder)).load(LoadedPriors(torch.device("cpu")))
        prior.encode_prompts(["a red cube"])
        prior.denoise(torch.zeros(1, 3, 8, 8), torch.tensor([5]), [prior.encode_prompts(["a red cube"])], None)
    text = str(caught.value)
    assert text.startswith("DeepFloyd IF Prior: ") and str(folder) in text and "\n" not in text
    return text


def reconfigure(folder, part, **values):
    path = folder / part
    config = json.loads(path.read_text())
    config.update(values)
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


@pytest.mark.parametrize("part", PARTS)
def test_missing_part(folder, part):
    (folder / part).unlink()
    assert f"has no {part}" in refusal(folder)


@pytest.mark.parametrize("part", WEIGHTS)
def test_missing_weights(folder, part):
    (folder / part).rename(folder / part.replace(".safetensors", ".bin"))
    assert "no .safetensors" in refusal(folder)


@pytest.mark.parametrize("part", WEIGHTS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.9])
def test_truncated_weights_are_noticed_before_any_are_read(folder, part, share, monkeypatch):
    data = (folder / part).read_bytes()
    (folder / part).write_bytes(data[:int(share * len(data))])
    monkeypatch.setattr(deepfloyd_if, "T5Text", None)
    assert f"{folder / part.split('/')[0]} cannot be read" in refusal(folder)


def shrink(folder, part, kind, **options):
    """Replaces the weights of a part by another way of keeping them."""
    network = kind.from_pretrained(folder / part)
    for path in (folder / part).glob("*.safetensors"):
        path.unlink()
    network.save_pretrained(folder / part, **options)


@pytest.mark.parametrize("size", ["10GB", "20KB"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_half_precision_files_alone_are_enough(folder, tiny_if, size, precision):
    """As published: unet/diffusion_pytorch_model.fp16.safetensors, and shards model.fp16-00001-of-0000N.safetensors."""
    from diffusers import UNet2DConditionModel
    from transformers import T5EncoderModel

    shrink(folder, "unet", UNet2DConditionModel, variant="fp16")
    shrink(folder, "text_encoder", T5EncoderModel, variant="fp16", max_shard_size=size)
    names = [path.name for path in folder.rglob("*.safetensors")]
    assert all("fp16" in name for name in names) and (len(names) > 2) == (size == "20KB")
    found, expected = (DeepFloydIF(str(place), precision).load(LoadedPriors(torch.device("cpu")))
                       for place in (folder, tiny_if))
    assert torch.equal(found.encode_prompts(["a red cube"]).embedding, expected.encode_prompts(["a red "
                                                                                                "cube"]).embedding)
    assert all(torch.equal(*pair) for pair in zip(found.unet.parameters(), expected.unet.parameters()))


def test_float32_prefers_the_whole_weights(folder):
    from safetensors.torch import load_file, save_file

    path = folder / WEIGHTS[0]
    half = {name: tensor * 0 for name, tensor in load_file(path).items()}
    save_file(half, path.with_name("diffusion_pytorch_model.fp16.safetensors"), {"format": "pt"})
    sums = [float(sum(p.float().abs().sum()
                      for p in DeepFloydIF(str(folder), precision).load(LoadedPriors(torch.device("cpu")))
                      .unet.parameters())) for precision in ("float32", "bfloat16")]
    assert sums[0] > 0 and sums[1] == 0


@pytest.mark.parametrize("part", [*PARTS, "tokenizer/tokenizer.json"])
def test_truncated_configuration(folder, part):
    (folder / part).write_text((folder / part).read_text()[:40])
    assert "cannot be read" in refusal(folder)


@pytest.mark.parametrize("part, values, words", [
    ("unet/config.json", {"in_channels": 4}, "takes 4 channels"),                 # Stable Diffusion
    ("unet/config.json", {"in_channels": 6}, "takes 6 channels"),                 # IF stage II
    ("unet/config.json", {"encoder_hid_dim": None}, "no encoder_hid_dim"),
    ("unet/config.json", {"out_channels": 4}, "another output"),
    ("text_encoder/config.json", {"model_type": "clip_text_model"}, '"clip_text_model"'),
    ("text_encoder/config.json", {"d_model": 768}, "768"),
    ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, '"sample"'),
])
def test_another_model_is_refused_before_weights_are_read(folder, part, values, words):
    reconfigure(folder, part, **values)
    for weights in WEIGHTS:
        (folder / weights).write_bytes(b"not read")
    text = refusal(folder)
    assert "not an IF stage I model" in text and words in text


@pytest.mark.parametrize("part", WEIGHTS)
def test_weights_of_another_network_are_refused(folder, part):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / part)
    lost = next(name for name in tensors if name.endswith("weight") and "norm" in name)
    del tensors[lost]
    save_file(tensors, folder / part, {"format": "pt"})
    text = refusal(folder)
    assert lost in text


def test_missing_package_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingPackage, match='DeepFloyd IF Prior needs the package "diffusers"'):
        DeepFloydIF(str(folder)).load(LoadedPriors(torch.device("cpu")))


def test_builtin_prior_wants_a_list_of_words(folder):
    for text in ('{"model": {"type": "Unigram", "vocab": [["a", 1.0]]}}', "{}"):
        (folder / "tokenizer/tokenizer.json").write_text(text)
        with pytest.raises(DistillError, match="Built-in Prior: .* was not written by Train Prior"):
            BuiltinPrior(str(folder)).load(LoadedPriors(torch.device("cpu")))
