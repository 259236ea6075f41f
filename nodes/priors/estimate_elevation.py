"""Estimate Elevation: the elevation of a picture's camera, by a prior that is conditioned on view angles."""
from __future__ import annotations

import math
from typing import Iterator

import torch
from torch import Tensor

from ..comfy import PRIOR, PROMPT, Node, host, io, seed_input
from ..core.cameras import Cameras, orbit, wrap_angle
from ..core.errors import DistillError
from ..core.prior import LoadedPriors, Prior
from ..core.prompt import Prompt
from ..core.rng import stream
from .reference_views import over_white, reference_views

TITLE = "Estimate Elevation"
NOISE = (0.3, 0.95)  # fractions of the prior's timesteps: below, the shape is visible in the input; above, nothing is


def elevation_errors(prior: Prior, picture: Tensor, prompt: Prompt, cameras: Cameras, draws: int,
                     seed: int = 0) -> Iterator[Tensor]:
    """The denoising errors of the prior for a picture, conditioned on each of `cameras`.

    picture  [1,H,W,3] in [0,1]
    draws    noise levels, evenly spaced over NOISE; every camera gets the same noise

    Yields the cumulative sums [B] of squared errors of the predicted noise after each draw.
    """
    texts = prompt.for_words(prior.trained_on.view_words).of_cameras(cameras)
    if prior.views != 1:
        raise DistillError(f"{TITLE}: this prior denoises {prior.views} views jointly. Connect one of single views.")
    if len(set(texts)) < len(texts):
        raise DistillError(
            f"{TITLE}: the prompt is the same for several elevations. Set \"views\" of View Prompt to "
                           '"degrees", and connect a prior that is conditioned on them, such as the Built-in Prior.')
    condition = prior.encode_prompts(texts)
    z = prior.encode_image(picture).expand(len(cameras))
    clean = z.clean
    total = torch.zeros(len(cameras), device=clean.device)
    for draw, level in enumerate(torch.linspace(*NOISE, draws).tolist()):
        t = torch.full((len(cameras),), int(level * prior.timesteps), device=clean.device)
        noise = torch.randn(clean[:1].shape, generator=stream(seed, draw, "noise")).to(clean).expand_as(clean)
        z0, = prior.denoise(prior.add_noise(clean, noise, t), t, [condition], cameras, z.beside)
        total = total + (((z0 - clean) / prior.sigma(t).view(-1, 1, 1, 1)).square()).sum((1, 2, 3))
        yield total


def _around(azimuth: float, elevations: Tensor, prior: Prior) -> Cameras:
    """A camera at each elevation, in degrees."""
    turned = wrap_angle(torch.deg2rad(torch.full_like(elevations, azimuth)))
    return orbit(turned, torch.deg2rad(elevations), 3.0, math.radians(40.0), prior.size, prior.size).to(prior.device)


class EstimateElevationNode(Node):
    advanced = ("lowest", "highest", "draws", "seed")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_EstimateElevation", display_name=TITLE, category="Distill3D/priors",
            description="Estimates the elevation of a picture's camera: the one with the smallest denoising error of a "
                        "prior that is conditioned on view angles.",
            search_aliases=["elevation", "camera pose", "pose estimation", "image to 3d"],
            inputs=[
                PRIOR.Input("prior", tooltip="A prior that is conditioned on degrees, such as the Built-in Prior."),
                PROMPT.Input("prompt", tooltip='Describes the picture, with "views" set to degrees.'),
                io.Image.Input("image", tooltip="The object on white or with a mask, centred, and about as large as "
                               "in the training pictures of the prior."),
                io.Float.Input("azimuth", default=0.0, min=-360.0, max=360.0, step=5.0, tooltip="Degrees around the "
                               "object that it was taken from; 0 is the front."),
                io.Float.Input("lowest", default=-10.0, min=-90.0, max=90.0, step=5.0, tooltip="Lowest elevation that "
                               "is tried, degrees."),
                io.Float.Input("highest", default=60.0, min=-90.0, max=90.0, step=5.0, tooltip="Highest elevation that "
                               "is tried, degrees."),
                io.Float.Input("step", default=5.0, min=1.0, max=90.0, step=1.0, tooltip="Degrees between tried "
                               "elevations; the words of the Built-in Prior are 5 apart."),
                io.Int.Input("draws", default=8, min=1, max=1000, tooltip="Number of noise levels for each elevation. "
                             "More are more reliable and slower."),
                seed_input(),
                io.Mask.Input("mask", optional=True, tooltip="1 on the object; the background becomes white. Invert "
                              "the mask of Load Image."),
            ],
            outputs=[io.Float.Output("elevation", tooltip="Degrees, for Reference View and Zero123 Prior.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, prior, prompt, image, azimuth=0.0, lowest=-10.0, highest=60.0, step=5.0, draws=8, seed=0,
                mask=None) -> io.NodeOutput:
        if lowest > highest:
            raise DistillError(f'{TITLE}: "lowest" ({lowest}) is above "highest" ({highest}). Swap them.')
        if len(image) != 1:
            raise DistillError(f"{TITLE}: there are {len(image)} images. Connect one picture at a time.")
        tried, picture = torch.arange(lowest, highest + 1e-4, step), over_white(reference_views(TITLE, image, mask))
        progress, priors = host().progress(cls.hidden.unique_id, TITLE, draws), LoadedPriors(host().device())
        try:
            with torch.inference_mode(False), torch.no_grad():
                loaded = priors(prior)
                found = elevation_errors(loaded, picture.to(loaded.device), prompt, _around(azimuth, tried, loaded),
                                         draws, seed)
                for draw, errors in enumerate(found):
                    host().check()
                    likeliest = float(tried[int(errors.argmin())])
                    progress.update(draw + 1, f"{draw + 1}/{draws}  {likeliest:g} degrees")
        finally:
            priors.release()
            progress.close()
        return io.NodeOutput(likeliest)
