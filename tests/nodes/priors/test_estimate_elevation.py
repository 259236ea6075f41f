import math

import pytest
import torch

from distill3d.kernels.shapes.render import render_shapes
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.estimate_elevation import EstimateElevationNode
from distill3d.nodes.shapes.caption import parse_shape, shape_parts
from gaussian_prior import GaussianPrior

# What each elevation looks like to this prior: another grey.
GREYS = GaussianPrior(tuple((f"ball, az90 el{degrees}", degrees / 60) for degrees in range(-10, 61, 5)))


def estimate(prior, prompt, image, **widgets):
    with torch.inference_mode():
        return EstimateElevationNode.execute(prior, prompt, image, **widgets).args[0]


@pytest.mark.parametrize("degrees", [-10, 0, 25, 60])
def test_the_likeliest_is_found(degrees):
    image = torch.full((1, 8, 8, 3), 0.5 + degrees / 120)
    assert estimate(GREYS, Prompt("ball", views="degrees"), image, azimuth=90.0, draws=2) == degrees


def test_the_builtin_prior_tells_low_from_high():
    found = {}
    for degrees in (0, 45):
        camera = orbit(0.0, math.radians(degrees), 3.2, math.radians(40), 32, 32)
        image = render_shapes(shape_parts([parse_shape("a cyan cylinder")]), camera.c2w, camera.fovy, 32)["rgb"]
        found[degrees] = estimate(BuiltinPrior(), Prompt("a cyan cylinder", views="degrees"), image, lowest=0.0,
                                  highest=60.0, step=15.0, draws=3)
    assert found == {0: 0.0, 45: 45.0}


def test_what_the_mask_leaves_out_is_white():
    """Half grey, half black: 60 degrees are its mean where white takes the place of black, 0 degrees are nearer where
    not."""
    image, mask = torch.zeros(1, 8, 8, 3), torch.zeros(1, 8, 8)
    mask[:, :, :4] = 1
    image[:, :, :4] = 0.5
    halves = GaussianPrior((("ball, az0 el60", 0.5), ("ball, az0 el0", 0.0)))
    kept = image.clone()
    assert estimate(halves, Prompt("ball", views="degrees"), image, lowest=0.0, step=60.0, mask=mask) == 60
    assert estimate(halves, Prompt("ball", views="degrees"), image, lowest=0.0, step=60.0) == 0
    assert torch.equal(image, kept)


class Four(GaussianPrior):
    def load(self, priors):
        loaded = super().load(priors)
        loaded.views = 4
        return loaded


@pytest.mark.parametrize("change, words", [
    ({"prompt": Prompt("ball")}, "same for several elevations"),
    ({"image": torch.zeros(2, 8, 8, 3)}, "2 images"),
    ({"image": torch.zeros(1, 8, 8)}, "has the shape"),
    ({"mask": torch.zeros(1, 8, 8)}, "the mask is empty"),
    ({"prior": Four()}, "4 views jointly"),
    ({"lowest": 70.0}, "Swap"),
])
def test_bad_input(change, words):
    given = {"prior": GREYS, "prompt": Prompt("ball", views="degrees"), "image": torch.zeros(1, 8, 8, 3)} | change
    with pytest.raises(DistillError, match=words):
        estimate(**given)
