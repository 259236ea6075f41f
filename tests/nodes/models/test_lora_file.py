"""LoRA files under the names of every trainer give the change that their papers define."""
import pytest
import torch
from safetensors.torch import save_file

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.checkpoint_file import CheckpointFile
from distill3d.nodes.models.lora_file import add_lora

pytest.importorskip("diffusers")
PLACE = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CONVOLUTION = "up_blocks.0.resnets.1.conv1"
TEXT = "encoder.layers.1.mlp.fc1"
RANK = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tiny_sd import write_folder

    folder = tmp_path_factory.mktemp("model")
    for kind in ("sd1", "xl"):
        write_folder(folder / kind, kind)
    return folder


@pytest.fixture(params=["sd1", "xl"])
def networks(folder, request):
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    place = folder / request.param
    texts = [CLIPTextModel.from_pretrained(place / "text_encoder")]
    if request.param == "xl":
        texts.append(CLIPTextModelWithProjection.from_pretrained(place / "text_encoder_2"))
    return UNet2DConditionModel.from_pretrained(place / "unet"), texts


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def changed(networks, tmp_path, tensors, name=PLACE, strength=0.5, text=None):
    """The change of one module's weight; every other module's must be none."""
    unet, texts = networks
    network = unet if text is None else texts[text]
    every = [unet, *texts]
    before = [{key: value.clone() for key, value in one.state_dict().items()} for one in every]
    save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / "lora.safetensors")
    warnings = []
    add_lora(CheckpointFile(tmp_path / "lora.safetensors", "Test"), unet, texts, strength, warnings.append)
    assert warnings == []
    names = {key for one, old in zip(every, before) for key, value in one.state_dict().items()
             if not torch.equal(value, old[key])}
    (key,) = [key for key in network.state_dict() if key.removeprefix("text_model.") == f"{name}.weight"]
    assert names == {key}
    return network.state_dict()[key] - before[every.index(network)][key]


def pair(networks, name=PLACE):
    weight = networks[0].get_submodule(name).weight
    return random(RANK, weight[0].numel()), random(len(weight), RANK)


@pytest.mark.parametrize("style", ["kohya", "kohya LDM", "diffusers", "peft", "oldest", "ComfyUI"])
def test_every_trainer_s_names(networks, tmp_path, style):
    down, up = pair(networks)
    # The second resolution's first attention; two blocks and a step down lie before it at most.
    layers = networks[0].config.layers_per_block
    ldm = f"input_blocks.{layers + 2}.1.transformer_blocks.0.attn1.to_q"
    kohya, attention = "lora_unet_" + PLACE.replace(".", "_"), PLACE.removesuffix(".to_q")
    names = {"kohya": (f"{kohya}.lora_down.weight", f"{kohya}.lora_up.weight"),
             "kohya LDM": tuple(f"lora_unet_{ldm.replace('.', '_')}.lora_{end}.weight" for end in ("down", "up")),
             "diffusers": (f"unet.{PLACE}.lora.down.weight", f"unet.{PLACE}.lora.up.weight"),
             "peft": (f"unet.{PLACE}.lora_A.weight", f"unet.{PLACE}.lora_B.weight"),
             "oldest": tuple(f"{prefix}{attention}.processor.to_q_lora.{end}.weight"
                             for prefix, end in (("unet.", "down"), ("unet.", "up"))),
             "ComfyUI": (f"diffusion_model.{ldm}.lora_A.weight", f"diffusion_model.{ldm}.lora_B.weight")}[style]
    tensors = dict(zip(names, (down, up)))
    expected = 0.5 * up @ down
    if style.startswith("kohya"):
        tensors[names[0].replace("lora_down.weight", "alpha")] = torch.tensor(2.0)
        expected = expected * 2 / RANK
    torch.testing.assert_close(changed(networks, tmp_path, tensors), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("prefix", ["lora_te_text_model_", "lora_te1_text_model_", "text_encoder.text_model.",
                                    "lora_te2_text_model_"])
def test_text_encoders(networks, tmp_path, prefix):
    text = 1 if "te2" in prefix else 0
    if text >= len(networks[1]):
        pytest.skip("one text encoder")
    width = networks[1][text].config.hidden_size
    down, up = random(RANK, width), random(networks[1][text].config.intermediate_size, RANK)
    name = prefix + (TEXT if prefix.endswith(".") else TEXT.replace(".", "_"))
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    found = changed(networks, tmp_path, tensors, TEXT, text=text)
    torch.testing.assert_close(found, 0.5 * up @ down, atol=1e-5, rtol=1e-4)


def test_loha_and_lokr(networks, tmp_path):
    down, up = pair(networks)
    kohya = "lora_unet_" + PLACE.replace(".", "_")
    parts = {"hada_w1_a": up, "hada_w1_b": down, "hada_w2_a": 2 * up, "hada_w2_b": down + 1, "alpha": torch.tensor(1.5)}
    found = changed(networks, tmp_path, {f"{kohya}.{name}": value for name, value in parts.items()})
    torch.testing.assert_close(found, 0.5 * 0.5 * (up @ down) * (2 * up @ (down + 1)), atol=1e-4, rtol=1e-4)
    rows, columns = len(up), down.shape[1]
    first, a, b = random(4, 2), random(rows // 4, RANK), random(RANK, columns // 2)
    parts = {"lokr_w1": first, "lokr_w2_a": a, "lokr_w2_b": b, "alpha": torch.tensor(1.5)}
    found = changed(networks, tmp_path, {f"{kohya}.{name}": value for name, value in parts.items()})
    torch.testing.assert_close(found, 0.5 * 0.5 * torch.kron(first, a @ b), atol=1e-4, rtol=1e-4)
    parts = {"lokr_w1": first, "lokr_w2": a @ b, "alpha": torch.tensor(1e10)}     # whole ones have no rank
    found = changed(networks, tmp_path, {f"{kohya}.{name}": value for name, value in parts.items()})
    torch.testing.assert_close(found, 0.5 * torch.kron(first, a @ b), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("has_core", [False, True])
def test_convolutions(networks, tmp_path, has_core):
    weight = networks[0].get_submodule(CONVOLUTION).weight
    name = "lora_unet_" + CONVOLUTION.replace(".", "_")
    up, core = random(len(weight), RANK, 1, 1), random(RANK, RANK, 3, 3)
    down = random(RANK, weight.shape[1], 1, 1) if has_core else random(RANK, weight.shape[1], 3, 3)
    tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    if has_core:
        tensors[f"{name}.lora_mid.weight"] = core
        expected = torch.einsum("or,rskl,si->oikl", up[..., 0, 0], core, down[..., 0, 0])
    else:
        expected = torch.einsum("or,rikl->oikl", up[..., 0, 0], down)
    torch.testing.assert_close(changed(networks, tmp_path, tensors, CONVOLUTION), 0.5 * expected, atol=1e-4, rtol=1e-4)


def test_files_of_other_models(networks, tmp_path):
    unet, texts = networks
    kohya = "lora_unet_" + PLACE.replace(".", "_")

    def add(tensors):
        warnings = []
        save_file(tensors, tmp_path / "lora.safetensors")
        add_lora(CheckpointFile(tmp_path / "lora.safetensors", "Test"), unet, texts, 1.0, warnings.append)
        return warnings

    down, up = pair(networks)
    with pytest.raises(DistillError, match="changes no weight of this model"):
        add({"lora_unet_double_blocks_0.lora_down.weight": down})
    with pytest.raises(DistillError, match='lacks the part "up"'):
        add({f"{kohya}.lora_down.weight": down})
    with pytest.raises(DistillError, match="It belongs to another model"):
        add({f"{kohya}.lora_down.weight": down[:, :-1].contiguous(), f"{kohya}.lora_up.weight": up})
    with pytest.raises(DistillError, match="is a DoRA"):
        add({f"{kohya}.lora_down.weight": down, f"{kohya}.lora_up.weight": up, f"{kohya}.dora_scale": up + 1})
    assert "1 modules" in add({f"{kohya}.lora_down.weight": down, f"{kohya}.lora_up.weight": up, "x.alpha": up + 1})[0]
