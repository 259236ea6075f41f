"""The multi-view UNet line by line in float64, from the weights under their published names: no diffusers, no fused
attention."""

import math

import torch
import torch.nn.functional as F


class MultiViewReference:
    """state: weights without prefix. heads(channels) -> number of attention heads."""

    def __init__(self, state, heads):
        self.state, self.heads = {key: value.double() for key, value in state.items()}, heads

    def __call__(self, x, t, text, cameras, views, pictures=None):
        """x [G V,C,h,w], t [G V], text [G V,L,D], cameras [G V,16], None for a network without; pictures [G V,T,D]:
        ImageDream's image tokens."""
        x, self.text, self.views = x.double(), text.double(), views
        self.pictures = None if pictures is None else pictures.double()
        half = self.state["time_embed.0.weight"].shape[1] // 2
        angles = t.double()[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
        self.embedding = self.two_layers("time_embed", torch.cat([angles.cos(), angles.sin()], 1))
        if cameras is not None:
            self.embedding = self.embedding + self.two_layers("camera_embed", cameras.double())
        skips, i = [], 0
        while any(key.startswith(f"input_blocks.{i}.") for key in self.state):
            x = self.block(f"input_blocks.{i}", x)
            skips.append(x)
            i += 1
        x = self.block("middle_block", x)
        for i in range(len(skips)):
            x = self.block(f"output_blocks.{i}", torch.cat([x, skips.pop()], 1))
        return self.conv("out.2", F.silu(self.group_norm("out.0", x, 1e-5)))

    def block(self, name, x):
        for part in range(3):
            at = f"{name}.{part}"
            if f"{at}.in_layers.0.weight" in self.state:
                x = self.resnet(at, x)
            elif f"{at}.proj_in.weight" in self.state:
                x = self.transformer(at, x)
            elif f"{at}.op.weight" in self.state:
                x = self.conv(f"{at}.op", x, 2)
            elif f"{at}.conv.weight" in self.state:
                x = self.conv(f"{at}.conv", x.repeat_interleave(2, -1).repeat_interleave(2, -2))
            elif f"{at}.weight" in self.state:
                x = self.conv(at, x)
        return x

    def resnet(self, name, x):
        h = self.conv(f"{name}.in_layers.2", F.silu(self.group_norm(f"{name}.in_layers.0", x, 1e-5)))
        h = h + self.linear(f"{name}.emb_layers.1", F.silu(self.embedding))[:, :, None, None]
        h = self.conv(f"{name}.out_layers.3", F.silu(self.group_norm(f"{name}.out_layers.0", h, 1e-5)))
        return h + (self.conv(f"{name}.skip_connection", x) if f"{name}.skip_connection.weight" in self.state else x)

    def transformer(self, name, x):
        h, w = x.shape[-2:]
        tokens = self.linear(f"{name}.proj_in", self.group_norm(f"{name}.norm", x, 1e-6).flatten(2).mT)
        at = f"{name}.transformer_blocks.0"
        tokens = tokens + self.over_views(f"{at}.attn1", self.layer_norm(f"{at}.norm1", tokens))
        tokens = tokens + self.cross(f"{at}.attn2", self.layer_norm(f"{at}.norm2", tokens))
        inner, gate = self.linear(f"{at}.ff.net.0.proj", self.layer_norm(f"{at}.norm3", tokens)).chunk(2, -1)
        tokens = tokens + self.linear(f"{at}.ff.net.2", inner * F.gelu(gate))
        return x + self.linear(f"{name}.proj_out", tokens).mT.unflatten(-1, (h, w))

    def over_views(self, name, tokens):
        """Every token of a group attends to every token of all its views, one group at a time."""
        groups = []
        for first in range(0, len(tokens), self.views):
            group = torch.cat(list(tokens[first:first + self.views]))[None]
            out = self.linear(f"{name}.to_out.0",
                              self.attend(*(self.linear(f"{name}.to_{part}", group) for part in "qkv")))
            groups += list(out[0].chunk(self.views))
        return torch.stack(groups)

    def cross(self, name, tokens):
        q = self.linear(f"{name}.to_q", tokens)
        out = self.attend(q, self.linear(f"{name}.to_k", self.text), self.linear(f"{name}.to_v", self.text))
        if self.pictures is not None:
            out = out + self.attend(q, self.linear(f"{name}.to_k_ip", self.pictures),
                                    self.linear(f"{name}.to_v_ip", self.pictures))
        return self.linear(f"{name}.to_out.0", out)

    def attend(self, q, k, v):
        width = q.shape[-1] // self.heads(q.shape[-1])
        parts = []
        for a, b, c in zip(q.split(width, -1), k.split(width, -1), v.split(width, -1)):
            parts.append(torch.softmax(a @ b.mT / math.sqrt(width), -1) @ c)
        return torch.cat(parts, -1)

    def two_layers(self, name, x):
        return self.linear(f"{name}.2", F.silu(self.linear(f"{name}.0", x)))

    def linear(self, name, x):
        weight = self.state[f"{name}.weight"].flatten(1)  # 1x1 convolutions are linear layers
        return x @ weight.T + self.state.get(f"{name}.bias", torch.zeros((), dtype=torch.float64))

    def conv(self, name, x, stride=1):
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], stride, weight.shape[-1] // 2)

    def group_norm(self, name, x, eps):
        return F.group_norm(x, 32, self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps)

    def layer_norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], 1e-5)
