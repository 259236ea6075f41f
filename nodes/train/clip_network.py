"""A small untrained CLIP in transformers' layout, with a tokenizer of the words of shapes."""

from __future__ import annotations

import tempfile

from ..core.errors import DistillError
from ..models.clip_text import read_tokenizer
from .clip_vocabulary import write_tokenizer

GRID = 8   # patches along a side of a picture
HEAD = 32  # channels of an attention head


def build_clip(resolution: int, width: int, layers: int, text_layers: int):
    """A new CLIPModel for pictures of `resolution` pixels, and its CLIPTokenizer.

    width  of both towers and of the embeddings. Raises DistillError for sizes that do not divide.
    """
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    if width < HEAD or width % HEAD or resolution % GRID or min(layers, text_layers) < 1:
        raise DistillError(f"Train CLIP: the width is {width}, with {layers} and {text_layers} layers, at "
                           f"{resolution} pixels. Use a width that is a multiple of {HEAD}, at least one layer, and "
                           f"pictures of a multiple of {GRID} pixels.")
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(folder)
        tokenizer = read_tokenizer(folder, "Train CLIP")
    shared = dict(hidden_size=width, intermediate_size=4 * width, num_attention_heads=width // HEAD,
                  projection_dim=width)
    text = CLIPTextConfig(vocab_size=len(tokenizer), num_hidden_layers=text_layers, max_position_embeddings=77,
                          bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                          pad_token_id=tokenizer.pad_token_id, **shared)
    vision = CLIPVisionConfig(image_size=resolution, patch_size=resolution // GRID, num_hidden_layers=layers, **shared)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=width)
    return CLIPModel(config), tokenizer
