"""What multi-view diffusion models share, in training and as priors: attention across views, and vectors for
cameras."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.cameras import Cameras


class JointAttention:
    """Self-attention over the tokens of all views of a group (Shi et al. 2023, MVDream, sec. 3.1: "3D self-attention").

    An attention processor of diffusers: hidden states [G V,L,C], group by group, attend as [G,V L,C]. The weights are
    those of the 2D model, so that one view per group is that model.
    """

    def __init__(self, views: int):
        self.views = views

    def __call__(self, attn, hidden_states: Tensor, encoder_hidden_states=None, attention_mask=None, **_) -> Tensor:
        batch, tokens, channels = hidden_states.shape
        joined = hidden_states.reshape(batch // self.views, self.views * tokens, channels)
        q, k, v = (split_heads(layer(joined), attn.heads) for layer in (attn.to_q, attn.to_k, attn.to_v))
        out = F.scaled_dot_product_attention(q, k, v, scale=attn.scale)
        return attn.to_out[0](join_heads(out)).reshape(batch, tokens, channels)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B,L,C] -> [B,heads,L,C/heads]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[B,heads,L,C/heads] -> [B,L,C]."""
    return x.transpose(1, 2).flatten(2)


def join_views(unet: torch.nn.Module, views: int) -> torch.nn.Module:
    """Sets JointAttention at every self-attention of diffusers' UNet2DConditionModel, and returns it."""
    joint = JointAttention(views)
    unet.set_attn_processor({name: joint if name.endswith(".attn1.processor") else processor
                             for name, processor in unet.attn_processors.items()})
    return unet


def camera_vectors(cameras: Cameras) -> Tensor:
    """MVDream's camera condition [B,16]: c2w row by row, with its position at distance 1.

    World z up, camera axes OpenGL, the front of an object at +x: those of Cameras (MVDream's get_camera and
    normalize_camera turn theirs into the same).
    """
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] = F.normalize(c2w[:, :3, 3], dim=-1)
    return c2w.flatten(1)


def view_sizes(cameras: Cameras) -> Tensor:
    """Half the height that a picture covers in the plane through the origin [B], world units: see Cameras.view_size."""
    return cameras.view_size


def relative_camera_vectors(cameras: Cameras) -> Tensor:
    """What RichDreamer's models are told of each camera [B,16]: c2w row by row, turned and at a relative distance.

    The world is turned by -90 degrees around z, so that the front is the first view of MVDream's set and not the
    second; the position is twice the size of the view from the origin, whatever the lens ("rotate_z" and "rel_x2" in
    RichDreamer's configurations).
    """
    turn = cameras.c2w.new_tensor([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    c2w = turn @ camera_vectors(cameras).view(-1, 4, 4)
    c2w[:, :3, 3] *= 2 * view_sizes(cameras)[:, None]
    return c2w.flatten(1)
