"""Low-rank adapters (Hu et al. 2021) beside a UNet that stays as it is.

Of our own and not peft's, which puts its layers into the network: here other priors use the same one, so the adapter hangs
on it by hooks, only while it is asked.
"""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import torch
from torch import Tensor, nn
from torch.nn import Linear

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj")  # the names in an attention, ComfyUI's too
TIMES = ("time_embedding", "time_embed")  # what embeds the timestep: diffusers' name, ComfyUI's
CAMERA = 16  # numbers of a camera


class LowRank(nn.Module):
    """What is added to a linear layer's output: up(down(x)), nothing before training. Computed in float32."""

    def __init__(self, width_in: int, width_out: int, rank: int):
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, width_in) / rank)
        self.up = nn.Parameter(torch.zeros(width_out, rank))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.down.dtype) @ self.down.t()) @ self.up.t()


class Adapter(nn.Module):
    """One LowRank for each attention projection of a UNet (diffusers' or ComfyUI's), and a network that turns a camera [B,16] into what is
    added to the embedding of the timestep. Untrained, both add nothing.

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
    def attached(self, unet: nn.Module, camera: Tensor) -> Iterator[None]:
        """Inside, the network answers with the adapter. Its batch holds every camera of camera [B,16] once, or several
        times over."""
        layers = dict(projections(unet))
        handles = [layers[name.replace("/", ".")].register_forward_hook(_adding(low_rank))
                   for name, low_rank in self.layers.items()]
        handles.append(_times(unet).register_forward_hook(_adding_camera(self.camera, camera)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


class WholeCopy(nn.Module):
    """All weights of a network once more, in float32, to be trained in its place. It is not told of cameras."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.weights = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(weight.detach().float().clone())
                                         for name, weight in network.named_parameters()})

    @contextmanager
    def attached(self, network: nn.Module, camera: Tensor) -> Iterator[None]:
        """Inside, the network computes with these weights, in the precision that it has."""
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
    for name in TIMES:
        if hasattr(unet, name):
            return getattr(unet, name)
    raise ValueError(f"it has neither {' nor '.join(TIMES)}")


def _adding(low_rank: LowRank):
    return lambda layer, inputs, output: output + low_rank(inputs[0]).to(output.dtype)


def _adding_camera(network: nn.Module, camera: Tensor):
    def add(layer, inputs, output):
        embedded = network(camera.to(next(network.parameters()).dtype))
        return output + embedded.repeat(len(output) // len(embedded), 1).to(output.dtype)

    return add
