"""ImageDream's additions to MVDream's network: tokens of a picture, and a second cross-attention to them."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import LayerNorm, Linear

from ..core.errors import DistillError
from .checkpoint_file import CheckpointFile, read_module
from .multi_view import join_heads, split_heads

PREFIX = "image_embed."
HEAD = 64  # channels of an attention head


class ImageResampler(nn.Module):
    """Features of a picture [B,N,image_width] -> T tokens [B,T,out_width] for cross-attention.

    Learned queries read the features in several rounds of attention (the perceiver resampler, Alayrac et al. 2022, as
    IP-Adapter Plus has it). Attributes are named as the weights are published.

    tokens  T; width of the queries; inner width of the attention, in heads of 64; mult: width of the feed-forward /
            width
    """

    def __init__(self, image_width: int, width: int, out_width: int, tokens: int, depth: int, inner: int, mult: int):
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(1, tokens, width))
        self.proj_in = Linear(image_width, width)
        self.proj_out = Linear(width, out_width)
        self.norm_out = LayerNorm(out_width)
        self.layers = nn.ModuleList(nn.ModuleList([_QueryAttention(width, inner), _feed_forward(width, mult * width)])
                                    for _ in range(depth))

    def forward(self, features: Tensor) -> Tensor:
        features = self.proj_in(features)
        tokens = self.latents.expand(len(features), -1, -1)
        for attention, feed_forward in self.layers:
            tokens = tokens + attention(features, tokens)
            tokens = tokens + feed_forward(tokens)
        return self.norm_out(self.proj_out(tokens))


class _QueryAttention(nn.Module):
    """Queries attend to the features and to one another."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.heads = max(inner // HEAD, 1)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.to_q = Linear(width, inner, bias=False)
        self.to_kv = Linear(width, 2 * inner, bias=False)
        self.to_out = Linear(inner, width, bias=False)

    def forward(self, features: Tensor, queries: Tensor) -> Tensor:
        queries = self.norm2(queries)
        k, v = self.to_kv(torch.cat([self.norm1(features), queries], 1)).chunk(2, -1)
        q, k, v = (split_heads(x, self.heads) for x in (self.to_q(queries), k, v))
        return self.to_out(join_heads(F.scaled_dot_product_attention(q, k, v)))


def _feed_forward(width: int, inner: int) -> nn.Sequential:
    return nn.Sequential(LayerNorm(width), Linear(width, inner, bias=False), nn.GELU(),
                         Linear(inner, width, bias=False))


def read_resampler(source: CheckpointFile, prefix: str, dtype: torch.dtype) -> ImageResampler:
    """From the weights below `prefix` + "image_embed.", sizes from their shapes. Raises DistillError for another
    kind."""
    shapes = source.shapes_below(prefix + PREFIX)
    try:
        depth = len({key.split(".")[1] for key in shapes if key.startswith("layers.")})
        _, tokens, width = shapes["latents"]
        sizes = (shapes["proj_in.weight"][1], width, shapes["proj_out.weight"][0], tokens, depth,
                 shapes["layers.0.0.to_q.weight"][0], shapes["layers.0.1.1.weight"][0] // width)
    except (KeyError, ValueError) as error:
        raise DistillError(f'{source.name}: "{prefix}{PREFIX}" in {source.path} is no resampler of pictures (at '
                           f'{error}). Only the published pixel and local models of ImageDream are known.') from error
    return read_module(lambda: ImageResampler(*sizes), source.below(prefix + PREFIX), source, lambda key: key, dtype)


class TextAndImageAttention:
    """Cross-attention to the text and, beside it, to a picture's tokens, which are the last `tokens` of the context:
    attention(text) + attention(picture), with keys and values of their own (Ye et al. 2023, IP-Adapter, eq. 5).

    An attention processor of diffusers.
    """

    def __init__(self, tokens: int):
        self.tokens = tokens

    def __call__(self, attn, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask=None, **_) -> Tensor:
        text, picture = encoder_hidden_states[:, :-self.tokens], encoder_hidden_states[:, -self.tokens:]
        q = split_heads(attn.to_q(hidden_states), attn.heads)

        def attend(keys: Tensor, values: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, split_heads(keys, attn.heads), split_heads(values, attn.heads),
                                                  scale=attn.scale)

        out = attend(attn.to_k(text), attn.to_v(text)) + attend(attn.to_k_ip(picture), attn.to_v_ip(picture))
        return attn.to_out[0](join_heads(out))


def build_with_pictures(config: dict, tokens: int) -> nn.Module:
    """diffusers' UNet2DConditionModel with TextAndImageAttention and its weights to_k_ip, to_v_ip at every
    cross-attention."""
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(**config)
    attention = TextAndImageAttention(tokens)
    for name, module in unet.named_modules():
        if name.endswith(".attn2"):
            width, context = module.to_k.weight.shape
            module.to_k_ip, module.to_v_ip = (Linear(context, width, bias=False) for _ in range(2))
            module.set_processor(attention)
    return unet
