"""Runs of Optimize on scenes of triangles."""
import pytest
import torch

from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.export.turntable import render_turntable
from distill3d.nodes.fields.trainable_mesh import TrainableMesh
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.pbr import PBR
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.priors.builtin_prior import BuiltinPrior
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from loop_parts import Around
from mesh_field import ball


class Pictures:
    """Squared distance to pictures of another scene, from the same cameras."""

    name, wanted = "pictures", frozenset({"rgb", "opacity"})

    def __init__(self, recipe):
        self.recipe = recipe

    def __repr__(self):
        return "Pictures"

    def prepare(self, context):
        return Difference(self.recipe.build())


class Difference(Stateless):
    def __init__(self, target):
        self.target = target

    def __call__(self, look):
        rendering = look.rendering
        with torch.no_grad():
            wanted = self.target.render(look.cameras)
        return Term((rendering.rgb - wanted.rgb).square().mean() + (rendering.opacity - wanted.opacity).square().mean())


def recipe(radius=0.7, color=0.5, material=Albedo(), shape=False):
    vertices, faces = ball(8, radius)
    mesh = Mesh(vertices, faces, vertex_colors=torch.full_like(vertices, color))
    return SceneRecipe(MeshRasterizer(), TrainableMesh(mesh, 32, shape), material, SolidBackground((1.0, 1.0, 1.0)))


def run(tmp_path, scene, *losses, steps=12, size=20, rates=(("texture", 0.1),)):
    objective = Objective(Around(), losses, batch=Schedule.of(3), resolution=Schedule.of(size))
    return Run(scene, (objective,), OptimizerSettings(rates=rates), RunSettings(steps), Host(tmp_path), "7").run()


def error(one, two):
    cameras = turntable(3, 15, 3, 40, 24)
    with torch.no_grad():
        return (one.build().render(cameras).rgb - two.build().render(cameras).rgb).square().mean().item()


def test_shape_and_colour_approach_pictures(tmp_path):
    start, target = recipe(0.7, 0.5, shape=True), recipe(0.6, 0.8)
    result = run(tmp_path, start, Pictures(target), rates=(("texture", 0.15), ("position", 0.01)))
    assert error(result.scene, target) < 0.3 * error(start, target)
    frames = render_turntable(result.scene, 3, 32, shading="shaded")
    assert frames.shape == (3, 32, 32, 3) and frames.std() > 0.05
    assert render_turntable(result.scene, 2, 16, shading="normal").isfinite().all()


def test_a_material_that_brings_its_light_is_trained_in_it(tmp_path):
    """No light is wired, and yet what is seen is shaded."""
    target = recipe(0.7, 0.8, PBR())
    result = run(tmp_path, recipe(0.7, 0.4, PBR()), Pictures(target), steps=10)
    assert error(result.scene, target) < 0.5 * error(recipe(0.7, 0.4, PBR()), target)


@pytest.mark.slow
def test_a_prior_paints_a_mesh(tmp_path):
    start = recipe(0.7, 0.5)
    result = run(tmp_path, start, SDS(BuiltinPrior(), Prompt("a red sphere"), Schedule.of(5.0)), steps=12, size=32)
    with torch.no_grad():
        middle = result.scene.build().render(turntable(3, 15, 3, 40, 32)).rgb[:, 16, 16].mean(0)
    assert middle[0] > middle[1] + 0.1 and middle[0] > middle[2] + 0.1
