"""Adapters: trainable weights added to a frozen network.

peft puts its layers into the network. Here several priors share one network, so an adapter is attached by hooks, and
only while its own prior calls the network.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import torch
from torch import Tensor, nn
from torch.nn import Linear

# Names of attention projections in diffusers (of pictures, then of additional texts); ComfyUI has most of them too.
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
# What embeds the timestep: in diffusers' UNets, in ComfyUI's, in diffusers' Stable Diffusion 3 and Flux, in its PixArt.
TIMES = ("time_embedding", "time_embed", "time_text_embed.timestep_embedder", "adaln_single.emb.timestep_embedder")
CAMERA = 16  # numbers of a camera


class LowRank(nn.Module):
    """LoRA (Hu et al. 2021): up(down(x)) is added to a linear layer's output; 0 before training.

    down(x) is computed in the type of x, so that no activation is widened; the `rank` numbers that are left and up are
    float32.
    """

    def __init__(self, width_in: int, width_out: int, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, width_in) / rank)
        self.up = nn.Parameter(torch.zeros(width_out, rank))

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.down.to(x.dtype).t()).to(self.up.dtype) @ self.up.t()


class Adapter(nn.Module):
    """One LowRank for each attention projection of a UNet or transformer (diffusers' or ComfyUI's), and a network that
    maps a camera [16] to a vector that is added to the embedding of the timestep. Untrained, both add 0.

    Raises ValueError for another network.
    """

    def __init__(self, unet: nn.Module, rank: int):
        super().__init__()
        # A key of a ModuleDict must not contain dots.
        self.layers = nn.ModuleDict({name.replace(".", "/"): LowRank(layer.in_features, layer.out_features, rank)
                                     for name, layer in projections(unet)})
        if not self.layers:
            raise ValueError(f'none of its layers is called {", ".join(PROJECTIONS)}')
        width = [layer.out_features for layer in _times(unet).modules() if isinstance(layer, nn.Linear)][-1]
        self.camera = nn.Sequential(Linear(CAMERA, width), nn.SiLU(), Linear(width, width))
        nn.init.zeros_(self.camera[-1].weight)
        nn.init.zeros_(self.camera[-1].bias)

    @contextmanager
    def attached(self, unet: nn.Module, cameras: Tensor, views: Tensor) -> Iterator[None]:
        """Inside, the network runs with the adapter.

        cameras  [B,16] of each view
        views    [N] int64: the view of each row of the network's batch, -1 for rows without a camera (zeros)
        """
        layers = dict(projections(unet))
        handles = [layers[name.replace("/", ".")].register_forward_hook(_adding(low_rank))
                   for name, low_rank in self.layers.items()]
        handles.append(_times(unet).register_forward_hook(_adding_camera(self.camera, cameras, views)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class WholeCopy(nn.Module):
    """A trainable copy of all weights of a network, in float32. It has no camera input."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.weights = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(weight.detach().float().clone())
                                         for name, weight in network.named_parameters()})

    @contextmanager
    def attached(self, network: nn.Module, cameras: Tensor, views: Tensor) -> Iterator[None]:
        """Inside, the network computes with these weights, in its own precision. Cameras are not used."""
        kept = dict(network.named_parameters())
        owners = {name: network.get_submodule(name.rpartition(".")[0])._parameters for name in kept}
        try:
            for name, weight in kept.items():
                owners[name][name.rpartition(".")[2]] = self.weights[name.replace(".", "/")].to(weight.dtype)
            yield
        finally:
            for name, weight in kept.items():
                owners[name][name.rpartition(".")[2]] = weight


def projections(unet: nn.Module) -> Iterator[tuple[str, Linear]]:
    """The attention projections of a network by name."""
    return ((name, layer) for name, layer in unet.named_modules()
            if isinstance(layer, Linear) and name.endswith(tuple(f".{kind}" for kind in PROJECTIONS)))


def _times(unet: nn.Module) -> nn.Module:
    modules = dict(unet.named_modules())
    for name in TIMES:
        if name in modules:
            return modules[name]
    raise ValueError(f"it has neither {' nor '.join(TIMES)}")


def _adding(low_rank: LowRank):
    return lambda layer, inputs, output: output + low_rank(inputs[0]).to(output.dtype)


def _adding_camera(network: nn.Module, cameras: Tensor, views: Tensor):
    def add(layer, inputs, output):
        # The last row is what -1 takes.
        padded = torch.cat([cameras, cameras.new_zeros(1, CAMERA)]).to(next(network.parameters()).dtype)
        return output + network(padded)[views].to(output.dtype)

    return add
