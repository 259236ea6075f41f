from collections import Counter

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rendering import Light
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.materials.lambertian import Lambertian, LambertianNode

GREY = torch.tensor([[0.0, 0.0, 0.0]])  # sigmoid: 0.5


def light(position, ambient=0.1, diffuse=0.9):
    return Light(torch.tensor([position]), torch.tensor([ambient]), torch.tensor([diffuse]))


def shade(normal, position=(0.0, 0.0, 0.0), mode="shaded", features=GREY, recipe=Lambertian(), **kind):
    rgb, albedo = recipe.build()(features, torch.tensor([normal]), torch.tensor([position]),
                                 light((0.0, 0.0, 2.0), **kind), mode)
    return rgb[0].tolist(), albedo[0].tolist()


def test_colour_is_albedo_times_ambient_plus_diffuse():
    assert shade((0.0, 0.0, 1.0))[0] == pytest.approx([0.5] * 3)
    assert shade((0.0, 0.6, 0.8))[0] == pytest.approx([0.5 * (0.1 + 0.9 * 0.8)] * 3)
    assert shade((0.0, 0.0, -1.0))[0] == pytest.approx([0.05] * 3)
    assert shade((0.0, 0.0, 1.0), ambient=0.5, diffuse=0.2)[0] == pytest.approx([0.35] * 3)


def test_the_light_is_a_point_not_a_direction():
    # From (2, 0, 0) the light stands at (-1, 0, 1) / sqrt 2.
    assert shade((0.0, 0.0, 1.0), (2.0, 0.0, 0.0))[0] == pytest.approx([0.5 * (0.1 + 0.9 * 0.5 ** 0.5)] * 3)


def test_textureless_is_white_and_albedo_is_unlit():
    features = torch.tensor([[3.0, 0.0, -3.0]])
    colors = features.sigmoid()[0].tolist()
    assert shade((0.0, 0.6, 0.8), mode="textureless", features=features) == (
        pytest.approx([0.82] * 3), pytest.approx(colors))
    assert shade((0.0, 0.6, 0.8), mode="albedo", features=features) == (pytest.approx(colors), pytest.approx(colors))


def test_unbounded_albedo_is_clamped_where_it_is_shaded():
    features, recipe = torch.tensor([[3.0, 0.0, -3.0]]), Lambertian("scaled")
    assert shade((0.0, 0.0, 1.0), mode="albedo", features=features, recipe=recipe)[0] == pytest.approx([2.0, 0.5, -1.0])
    assert shade((0.0, 0.0, 1.0), mode="shaded", features=features, recipe=recipe)[0] == pytest.approx([1.0, 0.5, 0.0])


def test_gradients_reach_features_and_normals():
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    normal = torch.nn.functional.normalize(torch.rand(4, 3, dtype=torch.float64), dim=-1).requires_grad_()
    many = Light(*(value.double() for value in (torch.full((4, 3), 3.0), torch.full((4,), 0.1), torch.full((4,), 0.9))))
    material = Lambertian().build()
    assert torch.autograd.gradcheck(
        lambda f, n: material(f, n, torch.zeros(4, 3, dtype=torch.float64), many, "shaded")[0], (features, normal))


def test_modes_are_drawn_in_their_shares():
    material, steps = Lambertian(albedo_fraction=0.0).build(), 2000
    found = Counter(material.draw_mode(step, steps, Streams(0, step)) for step in range(steps))
    assert found["albedo"] / steps == pytest.approx(0.25, abs=0.04)
    assert found["textureless"] / steps == pytest.approx(0.375, abs=0.04)
    assert found["shaded"] / steps == pytest.approx(0.375, abs=0.04)


def test_albedo_only_until_the_later_of_step_and_fraction():
    always = (0.0, 0.0, 1.0)
    by_step = Lambertian(shares=always, albedo_steps=30, albedo_fraction=0.1).build()
    by_part = Lambertian(shares=always, albedo_steps=30, albedo_fraction=0.5).build()
    assert [by_step.draw_mode(step, 100, Streams(0, step)) for step in (0, 29, 30)] == ["albedo", "albedo", "shaded"]
    assert [by_part.draw_mode(step, 100, Streams(0, step)) for step in (30, 49, 50)] == ["albedo", "albedo", "shaded"]


def test_needs_normal():
    material = Lambertian().build()
    assert [material.needs_normal(mode) for mode in ("albedo", "textureless", "shaded")] == [False, True, True]
    with pytest.raises(DistillError, match="needs a light"):
        material(GREY, None, GREY, None, "shaded")


def test_the_node():
    assert LambertianNode.execute().args[0] == Lambertian()
    assert LambertianNode.execute(albedo_share=0.5, textureless_share=0.0, albedo_steps=2001).args[0].shares == (0.5,
                                                                                                                 0.0,
                                                                                                                 0.375)
    with pytest.raises(DistillError, match="not all 0"):
        LambertianNode.execute(albedo_share=0.0, textureless_share=0.0, shaded_share=0.0)
