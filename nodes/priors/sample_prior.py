"""Sample Prior and Langevin Sample: samples of a prior, without 3D."""
from __future__ import annotations

import math
from typing import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.distill.guidance import guide
from ...kernels.distill.sampling import ancestral_step, langevin_step
from ..comfy import PRIOR, PROMPT, Node, host, io, seed_input
from ..core.cameras import Cameras, orbit, wrap_angle
from ..core.prior import LoadedPriors, Prior
from ..core.rng import stream


def sample(prior: Prior, texts: list[str], negative: str = "", steps: int = 50, guidance: float = 4.0, seed: int = 0,
           clamp: bool = True, cameras: Cameras | None = None) -> Iterator[Tensor]:
    """Ancestral (DDPM) sampling: yields the predicted images [B,H,W,3] after each of `steps` steps.

    clamp    clamps predictions to [-1,1], for pixel-space priors
    cameras  one per text, for priors that are conditioned on cameras
    """
    levels = torch.linspace(prior.timesteps - 1, 0, steps).round().long()
    denoise = _Denoiser(prior, texts, negative, guidance, clamp, cameras)
    noise = torch.randn(denoise.shape, generator=stream(seed, 0, "noise")).to(prior.device)
    x = noise * float(prior.sigma(levels[:1].to(prior.device)))
    for step, t in enumerate(levels.tolist()):
        z0, sigma = denoise(x, t)
        following = levels[step + 1:step + 2]
        lower = float(prior.sigma(following.to(prior.device))) if len(following) else 0.0
        noise = torch.randn(denoise.shape, generator=stream(seed, step + 1, "noise")).to(x)
        x = ancestral_step(x, z0, sigma, lower, noise)
        yield prior.decode_image(z0)


def langevin(prior: Prior, texts: list[str], negative: str = "", levels: int = 30, steps: int = 5, size: float = 0.15,
             guidance: float = 4.0, seed: int = 0, clamp: bool = True,
             cameras: Cameras | None = None) -> Iterator[Tensor]:
    """Annealed Langevin dynamics: `steps` steps at each of `levels` falling noise levels; yields as `sample` does.

    The levels fall geometrically (Song and Ermon 2019). `steps` steps reduce the remaining noise by (1 - size)^steps,
    which limits the ratio between levels.
    """
    denoise = _Denoiser(prior, texts, negative, guidance, clamp, cameras)
    times = _geometric_times(prior, levels)
    x = None
    for level, t in enumerate(times.tolist()):
        for step in range(steps):
            noise = torch.randn(denoise.shape, generator=stream(seed, level * steps + step, "noise")).to(prior.device)
            sigma = float(prior.sigma(torch.tensor([t], device=prior.device)))
            if x is None:
                x = noise * sigma
            z0, sigma = denoise(x, t)
            x = langevin_step(x, z0, sigma, size, noise)
        yield prior.decode_image(z0)


def _geometric_times(prior: Prior, levels: int, largest: float = 20.0) -> Tensor:
    """Timesteps [levels] whose noise levels fall geometrically, from `largest` (far above any image in [-1,1]) or the
    prior's own largest to its smallest."""
    sigmas = prior.sigma(torch.arange(prior.timesteps, device=prior.device)).double().cpu()
    first, last = math.log(min(largest, float(sigmas[-1]))), math.log(float(sigmas[0]))
    wanted = torch.linspace(first, last, levels, dtype=torch.float64)
    return (sigmas.log()[None] - wanted[:, None]).abs().argmin(1)


class _Denoiser:
    def __init__(self, prior: Prior, texts: list[str], negative: str, guidance: float, clamp: bool,
                 cameras: Cameras | None):
        self.prior, self.guidance, self.clamp, self.cameras = prior, guidance, clamp, cameras
        self.conditions = [prior.encode_negatives([negative] * len(texts)), prior.encode_prompts(texts)]
        self.shape = (len(texts), prior.channels, prior.size, prior.size)

    @torch.no_grad()
    def __call__(self, x: Tensor, t: int) -> tuple[Tensor, float]:
        """The guided clean image of x = z + sigma noise, and sigma."""
        times = torch.full((len(x),), t, dtype=torch.long, device=x.device)
        # With zero noise, add_noise only scales x as the prior expects it.
        z_t = self.prior.add_noise(x, torch.zeros_like(x), times)
        negative, positive = self.prior.denoise(z_t, times, self.conditions, self.cameras)
        z0 = guide(negative, positive, self.guidance)
        return (z0.clamp(-1, 1) if self.clamp else z0), float(self.prior.sigma(times[:1]))


def _inputs() -> list:
    return [
        PRIOR.Input("prior", tooltip="The prior to look at."),
        PROMPT.Input("prompt", tooltip="What it is asked for."),
        io.Int.Input("images", default=4, min=1, max=64, tooltip="How many pictures."),
        io.Float.Input("guidance", default=4.0, min=0.0, max=1000.0, step=0.5, tooltip="Guidance scale, standard "
                       "form."),
        io.Float.Input("azimuth", default=30.0, min=-180.0, max=180.0, step=15.0, tooltip="Azimuth of the first "
                       "picture, degrees; 0 is the front."),
        io.Float.Input("azimuth_step", default=0.0, min=-180.0, max=180.0, step=15.0, tooltip="Added for each further "
                       "picture, degrees, to go around the object."),
        io.Float.Input("elevation", default=15.0, min=-90.0, max=90.0, step=15.0, tooltip="Elevation of the view above "
                       "the horizon."),
        io.Boolean.Input("clamp", default=True, tooltip="Clamp predictions to [-1,1]; on for pixel-space priors."),
        io.Int.Input("enlarge", default=4, min=1, max=32, tooltip="Each pixel becomes a square of this size."),
        seed_input(),
    ]


def _distance_input():
    return io.Float.Input("distance", default=1.5, min=0.01, max=100.0, step=0.1, optional=True,
                          tooltip="Of the camera from "
                          "the object, world units, for priors that are conditioned on it (Zero123).")


def _run(cls, title: str, prior, total: int, enlarge: int, make) -> io.NodeOutput:
    progress = host().progress(cls.hidden.unique_id, title, total)
    images, priors = None, LoadedPriors(host().device())
    try:
        with torch.inference_mode(False):
            for step, images in enumerate(make(priors(prior))):
                host().check()
                progress.update(step + 1, f"{step + 1}/{total}",
                                torch.cat(list(images), 1) if progress.is_due() else None)
    finally:
        priors.release()
        progress.close()
    enlarged = F.interpolate(images.permute(0, 3, 1, 2), scale_factor=enlarge, mode="nearest").permute(0, 2, 3, 1)
    return io.NodeOutput(enlarged.cpu().contiguous())


def _views(prior: Prior, prompt, images: int, azimuth: float, azimuth_step: float, elevation: float) -> list[str]:
    prompt = prompt.for_words(prior.trained_on.view_words)
    return [prompt.of_view((azimuth + i * azimuth_step + 180) % 360 - 180, elevation) for i in range(images)]


def _cameras(size: int, images: int, azimuth: float, azimuth_step: float, elevation: float, distance: float) -> Cameras:
    around = wrap_angle(torch.deg2rad(azimuth + azimuth_step * torch.arange(images, dtype=torch.float32)))
    return orbit(around, math.radians(elevation), distance, math.radians(40.0), size, size)


class SamplePriorNode(Node):
    advanced = ("azimuth_step", "clamp", "enlarge", "distance")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SamplePrior", display_name="Sample Prior", category="Distill3D/priors",
            description="Samples of a prior by ancestral (DDPM) sampling, without 3D.",
            search_aliases=["ddpm", "sampler", "text to image"],
            inputs=[*_inputs(), io.Int.Input("steps", default=50, min=1, max=1000, tooltip="Denoising steps."),
                    _distance_input()],
            outputs=[io.Image.Output("images", tooltip="The pictures.")], hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, prior, prompt, images=4, guidance=4.0, azimuth=30.0, azimuth_step=0.0, elevation=15.0, clamp=True,
                enlarge=4, seed=0, steps=50, distance=1.5) -> io.NodeOutput:
        return _run(cls, "Sample Prior", prior, steps, enlarge,
                    lambda loaded: sample(loaded, _views(loaded, prompt, images, azimuth, azimuth_step, elevation),
                                          prompt.negative, steps, guidance, seed, clamp,
                                          _cameras(loaded.size, images, azimuth, azimuth_step, elevation, distance)))


class LangevinSampleNode(Node):
    advanced = ("azimuth_step", "clamp", "enlarge", "levels", "step_size", "distance")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_LangevinSample", display_name="Langevin Sample", category="Distill3D/priors",
            description="Samples of a prior by annealed Langevin dynamics on its score: the sampler that score "
                        "matching came from.", search_aliases=["score matching", "ncsn", "mcmc"],
            inputs=[*_inputs(),
                    io.Int.Input("levels", default=30, min=1, max=1000, tooltip="Noise levels, from pure noise to "
                                 "almost none."),
                    io.Int.Input("steps", default=5, min=1, max=1000, tooltip="Langevin steps at each level."),
                    io.Float.Input("step_size", default=0.15, min=0.0001, max=0.5, step=0.01, round=False,
                                   tooltip="Length of a step relative to the squared noise level."),
                    _distance_input()],
            outputs=[io.Image.Output("images", tooltip="The pictures.")], hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, prior, prompt, images=4, guidance=4.0, azimuth=30.0, azimuth_step=0.0, elevation=15.0, clamp=True,
                enlarge=4, seed=0, levels=30, steps=5, step_size=0.15, distance=1.5) -> io.NodeOutput:
        return _run(cls, "Langevin Sample", prior, levels, enlarge,
                    lambda loaded: langevin(loaded, _views(loaded, prompt, images, azimuth, azimuth_step, elevation),
                                            prompt.negative, levels, steps, step_size, guidance, seed, clamp,
                                            _cameras(loaded.size, images, azimuth, azimuth_step, elevation, distance)))
