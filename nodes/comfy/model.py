"""The part of the door to ComfyUI that runs its models: MODEL, CLIP and VAE as functions of tensors.

ComfyUI's code runs in inference mode, as in its own samplers: its loaders make inference tensors, which can be patched
in place only there. Functions of this module return ordinary tensors.
"""
from __future__ import annotations

import copy
from typing import Any, Hashable, Mapping

import torch
from torch import Tensor, nn

from ..core.errors import DistillError

Conditioning = list  # of [embedding, {name: extra}], the value of a CONDITIONING wire
LOADS_MODELS = ("control", "gligen", "additional_models", "hooks")  # extras with their own weights
KEPT = 32  # prepared conditions; a few dozen combinations of view words recur


class HostModel:
    """A MODEL with its patches. ComfyUI's memory manager keeps it loaded until something else needs the memory."""

    def __init__(self, model: Any):
        self.model = model
        self.channels = model.get_model_object("latent_format").latent_channels
        self._sampling = model.get_model_object("model_sampling")
        self._active = model  # the clone that hooks ask for, else the same
        self._options: dict | None = None  # None: not prepared
        self._conditions: dict[str, list] = {}
        self._others: list = []
        self._elements = 0
        self._hook_mode: Any = None
        self._prepared: dict[Hashable, dict[str, list]] = {}

    @property
    def name(self) -> str:
        return type(self.model.model).__name__

    def scale(self, latents: Tensor) -> Tensor:
        """VAE latents scaled to the space in which the model denoises. Differentiable."""
        return self.model.model.process_latent_in(latents)

    def unscale(self, z: Tensor) -> Tensor:
        return self.model.model.process_latent_out(z)

    def noise_levels(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The model's sigmas, and the coefficients of signal and noise in its x: three [count], from low to high noise.

        x = signal z + noise n. Models with integer timesteps have one level for each. The range of others, such as flow
        models, is divided into `count` equal parts, and their midpoints are used: at the ends, flow is all signal or
        all noise.
        """
        sampling = self._sampling
        if getattr(sampling, "num_timesteps", None) == len(sampling.sigmas) == count:
            sigmas = sampling.sigmas.detach().float().cpu().clone()
        else:
            sigmas = torch.tensor([float(sampling.percent_to_sigma(1 - (t + 0.5) / count)) for t in range(count)])
        column = sigmas.view(-1, 1, 1, 1)
        signal = sampling.noise_scaling(column, torch.zeros_like(column), torch.ones_like(column))
        noise = sampling.noise_scaling(column, torch.ones_like(column), torch.zeros_like(column))
        return sigmas, signal.flatten(), noise.flatten()

    def denoise(self, x: Tensor, sigma: Tensor, conditions: Mapping[str, Conditioning], key: Hashable) -> list[Tensor]:
        """The predicted z0 [B,C,h,w] for each condition, in one batch if memory allows.

        x           [B,C,h,w] in the model's scaling
        sigma       [B] in the model's noise levels; rows may differ
        conditions  by name; ComfyUI treats "positive" and "negative" by their names
        key         identifies the conditions, which are prepared once for each key
        """
        from comfy.samplers import calc_cond_batch

        with torch.inference_mode():
            device = self.model.load_device
            x, sigma = x.to(device, torch.float32), sigma.to(device, torch.float32)
            found = calc_cond_batch(self._active.model, self.prepare(x, conditions, key), x, sigma, self._options)
        return [z0.float().clone() for z0 in found]

    def prepare(self, x: Tensor, conditions: Mapping[str, Conditioning], key: Hashable) -> list[list]:
        """The conditions in the form that the network expects, with the model loaded. In inference mode; arguments as
        in `denoise`."""
        prepared = self._prepare(tuple(x.shape), conditions, (key, tuple(x.shape)))
        return [prepared[name] for name in conditions]

    def close(self) -> None:
        """Undoes changes to the MODEL. ComfyUI's memory manager keeps its weights."""
        if self._options is None:
            return
        from comfy.sampler_helpers import cleanup_models
        from comfy.samplers import cast_to_load_options

        options, self._options = self._options, None
        self._prepared.clear()
        with torch.inference_mode():
            self._active.cleanup()
            cleanup_models(self._conditions, self._others)
            cast_to_load_options(options, device=self._active.offload_device)
            self._active.hook_mode = self._hook_mode
            self._active.restore_hook_patches()
        self._conditions, self._others = {}, []

    def _prepare(self, shape: tuple[int, ...], conditions: Mapping[str, Conditioning],
                 key: Hashable) -> dict[str, list]:
        from comfy.samplers import filter_registered_hooks_on_conds, process_conds

        brings_models = any(name in extras for entries in conditions.values() for _, extras in entries
                            for name in LOADS_MODELS)
        if (not self._is_ready() or torch.Size(shape).numel() > self._elements
                or (brings_models and key not in self._prepared)):
            self._open(shape, conditions)
        if key not in self._prepared:
            if len(self._prepared) >= KEPT:
                self._prepared.clear()
            inner, device = self._active.model, self._active.load_device
            # As for an empty latent image, so that inpainting models denoise the whole picture.
            empty = torch.zeros(shape, device=device)
            inner.latent_shapes = [shape]
            converted = _convert(conditions)
            filter_registered_hooks_on_conds(converted, self._options)
            self._prepared[key] = process_conds(inner, empty, converted, device, empty, seed=0)
        return self._prepared[key]

    def _is_ready(self) -> bool:
        """Whether the loaded weights are those of this MODEL. Another MODEL of the same checkpoint may have replaced
        them."""
        from comfy.model_management import loaded_models

        if self._options is None or self._active.model.current_patcher is not self._active:
            return False
        loaded = loaded_models()
        return all(any(one is model for one in loaded) for model in (self._active, *self._others))

    def _open(self, shape: tuple[int, ...], conditions: Mapping[str, Conditioning]) -> None:
        """The preparations of comfy.samplers.CFGGuider before sampling."""
        from comfy.hooks import EnumHookMode
        from comfy.model_patcher import create_model_options_clone
        from comfy.sampler_helpers import cond_has_hooks, prepare_model_patcher, prepare_sampling
        from comfy.samplers import (
            cast_to_load_options,
            filter_registered_hooks_on_conds,
            get_total_hook_groups_in_conds,
        )

        self.close()
        model = self.model
        if model.is_dynamic() and any(cond_has_hooks(entries) for entries in conditions.values()):
            model = model.get_non_dynamic_delegate()
        self._active, self._elements = model, torch.Size(shape).numel()
        self._options = create_model_options_clone(model.model_options)
        self._options.setdefault("transformer_options", {})["sample_sigmas"] = torch.tensor(
            [float(self._sampling.sigma_max), 0.0], device=model.load_device)
        self._hook_mode = model.hook_mode
        converted = _convert(conditions)
        if get_total_hook_groups_in_conds(converted) <= 1:
            model.hook_mode = EnumHookMode.MinVram
        prepare_model_patcher(model, converted, self._options)
        filter_registered_hooks_on_conds(converted, self._options)
        _, self._conditions, self._others = prepare_sampling(model, list(shape), converted, self._options)
        cast_to_load_options(self._options, device=model.load_device, dtype=model.model_dtype())
        model.pre_run()


def _convert(conditions: Mapping[str, Conditioning]) -> dict[str, list]:
    from comfy.sampler_helpers import convert_cond
    from comfy.samplers import preprocess_conds_hooks

    converted = {name: convert_cond(entries) for name, entries in conditions.items()}
    preprocess_conds_hooks(converted)
    return converted


class HostVAE:
    """A VAE: a differentiable private copy of its encoder, and ComfyUI's decoder."""

    def __init__(self, vae: Any, device: torch.device):
        self.vae, self.device = vae, device
        if device.type != "cpu":
            from comfy.model_management import free_memory

            free_memory(vae.model_size(), device)
        with torch.inference_mode(False):
            self.encoder = private_copy(vae.first_stage_model, device, vae.vae_dtype)

    @property
    def factor(self) -> int:
        """Pixels per latent pixel, along each side."""
        return int(self.vae.spacial_compression_encode())

    def encode(self, rgb: Tensor) -> Tensor:
        """rgb [B,3,H,W] in [0,1] -> unscaled latents [B,C,h,w] float32, the posterior's mean. Differentiable."""
        return self.encoder.encode(self.vae.process_input(rgb).to(self.device, self.vae.vae_dtype)).float()

    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled latents [B,C,h,w] -> rgb [B,H,W,3] in [0,1]."""
        with torch.inference_mode():
            rgb = self.vae.decode(latents)
        return rgb.float().clone()


def encode_text(clip: Any, text: str) -> Conditioning:
    """The CONDITIONING of a text, as from core's CLIP Text Encode."""
    with torch.inference_mode():
        return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def check_pair(model: Any, vae: Any, name: str) -> None:
    """Raises DistillError, beginning with `name`, unless the latents of the VAE fit the MODEL."""
    latents, kind = model.get_model_object("latent_format"), type(model.model).__name__
    if vae.first_stage_model is None:
        raise DistillError(f"{name}: the VAE is empty: its checkpoint holds none. Use Load VAE.")
    if latents.latent_dimensions != 2 or vae.latent_dim != 2:
        raise DistillError(f"{name}: latents of {kind} or of this VAE are not those of single pictures (video, 3D or "
                           "sound models have others). Use an image model.")
    if latents.latent_channels != vae.latent_channels:
        raise DistillError(f"{name}: the VAE gives {vae.latent_channels} latent channels and the MODEL ({kind}) takes "
                           f"{latents.latent_channels}. Use the VAE that belongs to this model.")


def private_copy(module: nn.Module, device: torch.device, dtype: torch.dtype, skip: tuple[str, ...] = (
        "decoder", "post_quant_conv", "taesd_decoder"), _known: dict | None = None) -> nn.Module:
    """A frozen copy of a ComfyUI module with its own weights, without the submodules named in `skip`.

    copy.deepcopy does not work: ComfyUI attaches the streams that load weights to the device to its modules, and these
    belong to the original.
    """
    known = {} if _known is None else _known
    if id(module) not in known:
        known[id(module)] = new = copy.copy(module)
        new.__dict__.update(
            _parameters={key: None if value is None else nn.Parameter(_own(value, device, dtype), requires_grad=False)
                         for key, value in module._parameters.items()},
            _buffers={key: None if value is None else _own(value, device, dtype)
                      for key, value in module._buffers.items()},
            _modules={key: value if value is None else private_copy(value, device, dtype, (), known)
                      for key, value in module._modules.items() if key not in skip}, training=False)
        if hasattr(new, "comfy_cast_weights"):  # weights are where they are used
            new.comfy_cast_weights, new.weight_function, new.bias_function = False, [], []
    return known[id(module)]


def _own(value: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return value.detach().to(device, dtype if value.is_floating_point() else None, copy=True)
