"""A small DeepFloyd IF folder with random weights."""
import pytest
import torch


def write_tiny_if(path, resolution=8):
    """Writes the folder and returns its path."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from distill3d.nodes.train.if_layout import build_text_encoder, build_tokenizer, build_unet, save_if_folder

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet, text_encoder = build_unet((16, 32), resolution), build_text_encoder(layers=1)
        with torch.no_grad():
            # Untrained, a network hardly sees its prompt: louder words and varying variance channels tell bugs apart.
            unet.conv_out.weight[3:].normal_()
            unet.encoder_hid_proj.weight.mul_(20)
        save_if_folder(str(path), unet, text_encoder, build_tokenizer())
    return path
