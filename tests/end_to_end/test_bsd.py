"""BSD in the loop with the built-in prior, on blurred stripes and dots of a mesh."""

import pytest
import torch
import torch.nn.functional as F

from distill3d.kernels.shapes.render import paint, render_shapes
from distill3d.kernels.shapes.sdf import Parts, shape_sdf
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.cameras.random_orbit_views import RandomOrbitViews
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.trainable_mesh import TrainableMesh
from distill3d.nodes.losses.bsd import BSD
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.priors.dreambooth_prior import DreamBooth
from distill3d.nodes.priors.lora_prior import LoRA
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.shapes.caption import parse_shape, shape_parts

EYES = turntable(8, 20, 3.2, 40, 64)
FALLING = Schedule(((0.0, 0.5), (1.0, 0.2)), "fraction")
BLUR = 0.08  # world units; a stripe is 0.29 high
VIEWS = RandomOrbitViews(min_distance=3.2, max_distance=3.2, min_fovy=40.0, max_fovy=40.0, min_elevation=-10.0,
                         max_elevation=50.0, spread_azimuth=True)


def blurred(caption):
    """The shape as a mesh whose colours are the true ones under a Gaussian."""
    one = Parts(*(value[0] for value in shape_parts([parse_shape(caption)])))
    axis = torch.linspace(-1, 1, 49)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    distance = shape_sdf(one, grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces = isosurface(-distance, 0.0, [[-1.0] * 3, [1.0] * 3])
    colors = paint(one.color.T.expand(3, len(vertices)), one.pattern.expand(len(vertices)), vertices.T / one.scale).T
    near = torch.exp(-torch.cdist(vertices, vertices).square() / (2 * BLUR**2))
    return Mesh(vertices, faces, vertex_colors=near @ colors / near.sum(1, keepdim=True))


def measured(scene, caption):
    """High-frequency energy as a share of the true pictures', and PSNR in dB, both where the object is."""
    parts = shape_parts([parse_shape(caption)] * len(EYES))
    true = {name: picture.permute(0, 3, 1, 2)
            for name, picture in render_shapes(parts, EYES.c2w, EYES.fovy, 64).items()}
    inside = F.avg_pool2d((true["alpha"] > 0.999).float(), 5, 1, 2) > 0.999
    with torch.no_grad():
        seen = scene.render(EYES, wanted=("rgb", "opacity")).rgb.permute(0, 3, 1, 2)

    def energy(picture):
        return ((picture - F.avg_pool2d(picture, 5, 1, 2)).square() * inside).sum()

    error = ((seen - true["rgb"]).square() * inside).sum() / (3 * inside.sum())
    return (energy(seen) / energy(true["rgb"])).item(), -10 * error.log10().item()


@pytest.mark.slow
@pytest.mark.parametrize("caption", ["a striped red cube", "a striped green cylinder", "a dotted blue sphere",
                                     "a dotted purple capsule"])
def test_a_blurred_texture_gets_sharper(tmp_path, caption):
    prior = BuiltinPrior()
    learning = DreamBooth(prior, noise=FALLING, guidance=3.0, steps=8, refresh=5, kept=6, rate=Schedule.of(1e-3))
    loss = BSD(learning, LoRA(prior), Prompt(caption, views="degrees"), t_max=FALLING, lora_rate=Schedule.of(1e-3),
               cycle=32, learning=16)
    recipe = SceneRecipe(MeshRasterizer(), TrainableMesh(blurred(caption), 128), Albedo(),
                         SolidBackground((1.0, 1.0, 1.0)))
    chain = (Objective(VIEWS, (loss,), batch=Schedule.of(4), resolution=Schedule.of(32)),)
    energy, psnr = measured(recipe.build(), caption)
    run = Run(recipe, chain, OptimizerSettings(learning_rate=0.03), RunSettings(96, save_every=0), Host(tmp_path), "1")
    energy_after, psnr_after = measured(run.run().scene.build(), caption)
    print(f"{caption}: high-frequency energy {energy:.3f} of the truth's before and {energy_after:.3f} after, PSNR "
          f"{psnr:.2f} and {psnr_after:.2f} dB")
    assert energy_after > 1.3 * energy
