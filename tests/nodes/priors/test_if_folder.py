"""Folders that are no IF stage I model, or a damaged one: one sentence, before the weights are read where possible."""
import json
import shutil
import sys

import pytest
import torch

from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.deepfloyd_if import DeepFloydIF
from distill3d.nodes.priors.if_folder import PARTS

WEIGHTS = ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")


@pytest.fixture
def folder(tiny_if, tmp_path):
    return shutil.copytree(tiny_if, tmp_path / "model")


def refusal(folder):
    with pytest.raises(DistillError) as caught:
        DeepFloydIF(str(folder)).load(torch.device("cpu"))
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
def test_truncated_weights(folder, part, share):
    data = (folder / part).read_bytes()
    (folder / part).write_bytes(data[:int(share * len(data))])
    assert f"{folder / part.split('/')[0]} cannot be read" in refusal(folder)


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
    ("scheduler/scheduler_config.json", {"prediction_type": "v_prediction"}, '"v_prediction"'),
])
def test_another_model_is_refused_before_weights_are_read(folder, part, values, words):
    reconfigure(folder, part, **values)
    for weights in WEIGHTS:
        (folder / weights).write_bytes(b"not read")
    text = refusal(folder)
    assert "no IF stage I model" in text and words in text


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
        DeepFloydIF(str(folder)).load(torch.device("cpu"))


def test_builtin_prior_wants_a_list_of_words(folder):
    for text in ('{"model": {"type": "Unigram", "vocab": [["a", 1.0]]}}', "{}"):
        (folder / "tokenizer/tokenizer.json").write_text(text)
        with pytest.raises(DistillError, match="Built-in Prior: .* was not written by Train Prior"):
            BuiltinPrior(str(folder)).load(torch.device("cpu"))
