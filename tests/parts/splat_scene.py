"""Scenes of Gaussians for tests."""
import torch

from distill3d.nodes.assets.splat import Splat, sh_of
from distill3d.nodes.core.material import OwnColor
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.densification import Densification
from distill3d.nodes.fields.gaussians import Gaussians
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.splat_renderer import SplatRenderer


def ball(count=600, radius=0.6, opacity=0.95, thickness=0.01):
    """Flat Gaussians on a ball at the origin, red on top and blue below."""
    number = torch.arange(count) + 0.5
    z, turn = 1 - 2 * number / count, number * 2.399963
    normals = torch.stack([(1 - z * z).sqrt() * turn.cos(), (1 - z * z).sqrt() * turn.sin(), z], 1)
    rotations = torch.nn.functional.normalize(torch.stack([1 + z, -normals[:, 1], normals[:, 0], torch.zeros(count)],
                                                          1), dim=1)
    wide = 1.2 * radius * (12.6 / count) ** 0.5 / 2
    colors = torch.where(normals[:, 2:] > 0, torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9]))
    return Splat(radius * normals, rotations, torch.tensor([wide, wide, thickness]).repeat(count, 1),
                 torch.full((count, 1), opacity), sh_of(colors))


def splat_recipe(initial=None, background=(1.0, 1.0, 1.0), antialiased=False, densification=Densification(every=0),
                 **changes):
    return SceneRecipe(SplatRenderer(antialiased), Gaussians(densification=densification, initial=initial, **changes),
                       OwnColor(), SolidBackground(background))
