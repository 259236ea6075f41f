"""Core's image sampling without ComfyUI: CLIP Text Encode, Empty Latent Image, KSampler, VAE Decode and Encode.

For Stable Diffusion only, with Euler's method. ComfyUI's images are similar, not identical. Each node reads the
checkpoint again, because nothing is kept between nodes.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..kernels.distill.guidance import guide
from ..nodes.comfy import host, io
from ..nodes.core.errors import DistillError
from ..nodes.core.prior import LoadedPriors
from ..nodes.core.rng import stream
from ..nodes.models.model_file import ModelFile
from ..nodes.priors.latent_prior import LatentPrior
from ..nodes.priors.stable_diffusion import StableDiffusion
from .core_node import CoreNode

LATENT = io.Custom("LATENT")
PIXELS_PER_LATENT = 8  # that one latent pixel covers, along a side


def load(model: Any, node: str) -> LatentPrior:
    if not isinstance(model, ModelFile):
        raise DistillError(f"{node}: without ComfyUI a model comes from Load Checkpoint only.")
    return StableDiffusion(model.path).load(LoadedPriors(host().device()))


def sample(prior: LatentPrior, start: Tensor, positive: list[str], negative: list[str], steps: int, guidance: float,
           share: float, seed: int) -> Tensor:
    """Euler's method (Karras et al. 2022, algorithm 1 without churn) from noise over `start` [B,C,h,w] to latents of
    its kind.

    share  of the schedule that is run, counted from its end: 1 ignores `start`
    """
    whole = max(steps, int(steps / share))
    times = torch.linspace(prior.timesteps - 1, 0, whole).round().long()[-steps:].to(prior.device)
    sigmas = [*prior.sigma(times).tolist(), 0.0]
    noise = torch.randn(start.shape, generator=stream(seed, 0, "noise")).to(prior.device)
    x = start.to(prior.device) + sigmas[0] * noise
    conditions = [prior.encode_prompts(texts * len(x)) for texts in (negative, positive)]
    progress = host().progress(None, "KSampler", steps)
    with torch.no_grad():
        for step, t in enumerate(times):
            host().check()
            t = t.expand(len(x))
            # Without noise of its own, add_noise brings x into the scaling that the prior takes.
            z0 = guide(*prior.denoise(prior.add_noise(x, torch.zeros_like(x), t), t, conditions, None), guidance)
            x = x + (sigmas[step + 1] - sigmas[step]) * (x - z0) / sigmas[step]
            progress.update(step + 1)
    return x.cpu()


class CLIPTextEncode(CoreNode):
    """The wire carries the text; KSampler encodes it."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="CLIPTextEncode", display_name="CLIP Text Encode (Prompt)", category="model/conditioning",
            description="A text that conditions the sampling.",
            inputs=[io.String.Input("text", default="", multiline=True, tooltip="The text."),
                    io.Clip.Input("clip", tooltip="The text encoder.")],
            outputs=[io.Conditioning.Output("CONDITIONING")])

    @classmethod
    def execute(cls, text, clip):
        return io.NodeOutput([text])


class EmptyLatentImage(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="EmptyLatentImage", display_name="Empty Latent Image", category="model/latent",
            description="Empty latents, for sampling from noise alone.",
            inputs=[io.Int.Input(side, default=512, min=16, max=16384, step=8, tooltip="Pixels.")
                    for side in ("width", "height")]
            + [io.Int.Input("batch_size", default=1, min=1, max=4096, tooltip="How many pictures.")],
            outputs=[LATENT.Output("LATENT")])

    @classmethod
    def execute(cls, width, height, batch_size):
        return io.NodeOutput({"samples": torch.zeros(batch_size, 4, height // PIXELS_PER_LATENT,
                                                     width // PIXELS_PER_LATENT)})


class KSampler(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="KSampler", display_name="KSampler", category="model/sampling",
            description="Samples latents from noise, guided towards one text and away from another.",
            inputs=[
                io.Model.Input("model", tooltip="The diffusion model."),
                io.Int.Input("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True,
                             tooltip="Of the noise."),
                io.Int.Input("steps", default=20, min=1, max=10000, tooltip="Steps from noise to picture."),
                io.Float.Input("cfg", default=8.0, min=0.0, max=100.0, step=0.1, tooltip="Guidance scale, standard "
                               "form."),
                io.Combo.Input("sampler_name", tooltip="Without ComfyUI: euler."),
                io.Combo.Input("scheduler", tooltip="Without ComfyUI: normal."),
                io.Conditioning.Input("positive", tooltip="Led to."),
                io.Conditioning.Input("negative", tooltip="Led away from."),
                LATENT.Input("latent_image", tooltip="What it starts from."),
                io.Float.Input("denoise", default=1.0, min=0.0, max=1.0, step=0.01, tooltip="How much of it is made "
                               "anew.")],
            outputs=[LATENT.Output("LATENT")])

    @classmethod
    def execute(cls, model, seed, steps, cfg, sampler_name, scheduler, positive, negative, latent_image, denoise=1.0):
        if (sampler_name, scheduler) != ("euler", "normal"):
            raise DistillError(f'KSampler: without ComfyUI there is sampler_name "euler" with scheduler "normal", not '
                               f'"{sampler_name}" with "{scheduler}".')
        if not denoise:
            return io.NodeOutput(latent_image)
        prior = load(model, "KSampler")
        return io.NodeOutput({"samples": sample(prior, latent_image["samples"], positive, negative, steps, cfg, denoise,
                                                seed)})


class VAEDecode(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="VAEDecode", display_name="VAE Decode", category="model/latent",
                         description="The pictures of latents.",
                         inputs=[LATENT.Input("samples", tooltip="The latents."),
                                 io.Vae.Input("vae", tooltip="Their autoencoder.")],
                         outputs=[io.Image.Output("IMAGE")])

    @classmethod
    def execute(cls, samples, vae):
        prior = load(vae, "VAE Decode")
        return io.NodeOutput(prior.decode_image(samples["samples"].to(prior.device)).cpu())


class VAEEncode(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="VAEEncode", display_name="VAE Encode", category="model/latent",
                         description="The latents of images, for image-to-image.",
                         inputs=[io.Image.Input("pixels", tooltip="The pictures."),
                                 io.Vae.Input("vae", tooltip="The autoencoder.")],
                         outputs=[LATENT.Output("LATENT")])

    @classmethod
    def execute(cls, pixels, vae):
        prior = load(vae, "VAE Encode")
        height, width = (side // PIXELS_PER_LATENT * PIXELS_PER_LATENT for side in pixels.shape[1:3])
        pictures = pixels[:, :height, :width, :3].permute(0, 3, 1, 2).to(prior.device, prior.vae.dtype) * 2 - 1
        with torch.no_grad():
            latents = prior.vae.encode(pictures).latent_dist.mode().float() * prior.vae.config.scaling_factor
        return io.NodeOutput({"samples": latents.cpu()})
