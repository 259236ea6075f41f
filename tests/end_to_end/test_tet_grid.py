"""A tet grid behind the mesh rasterizer, in the loop: it recovers a known object from pictures, and subdivides on the
way."""
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from distill3d.kernels.shapes.sdf import shape_sdf
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import face_areas, face_normals, is_watertight, vertex_normals
from distill3d.nodes.cameras.headlight import CameraLight
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import Cancelled
from distill3d.nodes.core.field import Surface, SurfaceField
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.core.state import read_state
from distill3d.nodes.evaluate.chamfer import chamfer_distance, sample_mesh
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.initial_surface import InitialEllipsoid
from distill3d.nodes.fields.tet_grid import TetGrid
from distill3d.nodes.losses.normal_consistency import NormalConsistency
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from distill3d.nodes.shapes.caption import parse_shape, shape_parts

VIEWS = 24
MATERIAL, BACKGROUND = Lambertian(shares=(0.0, 0.0, 1.0), albedo_fraction=0.0), SolidBackground((1.0, 1.0, 1.0))
LIGHT = CameraLight(spread=0.0, lift=0.5, min_ambient=0.25, max_ambient=0.25)       # the same for the same camera
FEATURES = FeatureGrid(levels=8, log2_size=12, base=8, finest=128, width=32)


@dataclass(frozen=True)
class Pictured:
    """Views: some of 24 cameras all around, drawn anew each step."""

    def cameras(self, size):
        index = torch.arange(VIEWS)
        return orbit(index * (5 * 2 * math.pi / VIEWS), torch.asin(index * 0.6180339887 % 1 * 1.7 - 0.85), 3.2,
                     math.radians(45), size, size)

    def sample(self, batch, height, width, step, total, streams):
        return self.cameras(height).take(torch.randperm(VIEWS, generator=streams("cameras"))[:batch])


@dataclass(frozen=True)
class LikePictures:
    """Loss: the mean difference to the 24 pictures rgb [24,H,W,3] and their silhouettes [24,H,W,1]."""

    rgb: Tensor
    opacity: Tensor
    name: str = "like pictures"
    wanted: frozenset = frozenset({"rgb", "opacity"})

    def prepare(self, context):
        return ComparedWith(self)


class ComparedWith(Stateless):
    def __init__(self, recipe):
        self.recipe, self.places = recipe, Pictured().cameras(1).c2w[:, :3, 3]

    def __call__(self, look):
        rendering = look.rendering
        view = torch.cdist(look.cameras.position, self.places).argmin(1)
        rgb = (rendering.rgb - self.recipe.rgb[view]).abs().mean()
        return Term(rgb + (rendering.opacity - self.recipe.opacity[view]).square().mean())


class Truth(SurfaceField):
    """The mesh of a caption's object, blue above and red below."""

    bounds = torch.tensor([[-1.15] * 3, [1.15] * 3])

    def __init__(self, caption, resolution=129):
        super().__init__()
        parts = type(whole := shape_parts([parse_shape(caption)]))(*(value[0] for value in whole))
        line = torch.linspace(-1.1, 1.1, resolution)
        points = torch.cartesian_prod(line, line, line)
        sdf = torch.cat([shape_sdf(parts, some) for some in points.split(1 << 18)]).view([resolution] * 3)
        self.vertices, self.faces = isosurface(-sdf, 0.0, [[-1.1] * 3, [1.1] * 3])

    def surface(self):
        return Surface(self.vertices, self.faces, vertex_normals(self.vertices, self.faces))

    def features(self, position, uv=None, footprint=None):
        return torch.where(position[:, 2:] > 0, torch.tensor([-2.0, -1.0, 2.0]), torch.tensor([2.0, -2.0, -2.0]))

    def parameter_groups(self):
        return {}


def objective(truth, size):
    cameras = Pictured().cameras(size)
    with torch.no_grad():
        seen = MeshRasterizer().build(truth, MATERIAL.build(), BACKGROUND.build()).render(
            cameras, LIGHT.sample(cameras, 0, 1, Streams(0, 0)), shading="shaded")
    losses = LikePictures(seen.rgb, seen.opacity), NormalConsistency(Schedule.of(0.1))
    return (Objective(Pictured(), losses, LIGHT, Schedule.of(2), Schedule.of(size)),)


def stage(tmp_path, truth, steps, size, resolution, host=None, recipe=None, **settings):
    field = TetGrid(resolution=resolution, initial=InitialEllipsoid((0.7,) * 3), features=FEATURES,
                    subdivisions=Schedule(((0, 0.0), (steps // 2, 1.0)), shape="step"))
    optimizer = OptimizerSettings(learning_rate=0.01, rates=(("sdf", 0.01), ("deformation", 0.03)),
                                  factor=Schedule(((0, 1.0), (0.3, 1.0), (1, 0.05)), unit="fraction"))
    return Run(recipe or SceneRecipe(MeshRasterizer(), field, MATERIAL, BACKGROUND), objective(truth, size), optimizer,
               RunSettings(steps, preview=24, **settings), host or Host(tmp_path, device="cpu"), "1")


def angles(surface, truth, count=20_000):
    """Degrees [count] between the faces of a surface, drawn by area, and the nearest ones of the truth."""
    from scipy.spatial import cKDTree

    area = face_areas(surface.vertices, surface.faces)
    drawn = torch.multinomial(area, count, replacement=True, generator=torch.Generator().manual_seed(0))
    solid = truth.faces[face_areas(truth.vertices, truth.faces) > 1e-7]
    near = cKDTree(truth.vertices[solid].mean(1)).query(surface.vertices[surface.faces[drawn]].mean(1))[1]
    cosine = (face_normals(surface.vertices, surface.faces)[drawn] * face_normals(truth.vertices, solid)[near]).sum(1)
    return torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))


@pytest.mark.slow
def test_a_known_mesh_is_recovered_from_24_pictures(tmp_path):
    truth = Truth("a blue sphere on top of a red cube")
    result = stage(tmp_path, truth, 300, 112, 48, save_every=0).run()
    with torch.no_grad():
        surface = result.scene.build().field.surface()
    assert is_watertight(surface.faces)
    one, other = (sample_mesh(part.vertices, part.faces, 30_000, torch.Generator().manual_seed(0))
                  for part in (surface, truth))
    size = (truth.vertices.amax(0) - truth.vertices.amin(0)).amax().item()
    chamfer, angle = chamfer_distance(one, other, size), angles(surface, truth).median().item()
    print(f"{len(surface.faces)} faces, Chamfer {100 * chamfer:.2f} % of the size, normals {angle:.2f} degrees "
          f"(median), {result.seconds:.0f} s")
    assert chamfer < 0.01 and angle < 5


class StopAt(Host):
    """Cancels at its `step`-th check."""

    def __init__(self, output, step):
        super().__init__(output, device="cpu")
        self.left = step

    def check(self):
        self.left -= 1
        if self.left < 0:
            raise Cancelled("stopped")


def test_a_run_resumes_beyond_a_subdivision(tmp_path):
    truth = Truth("a red sphere", 25)
    whole = stage(tmp_path / "whole", truth, 8, 24, 12).run().scene
    assert "field.marked_0" in whole.state
    with pytest.raises(Cancelled):
        stage(tmp_path / "cut", truth, 8, 24, 12, host=StopAt(tmp_path / "cut", 6), save_every=1e-9).run()
    state, = (tmp_path / "cut" / "distill3d_states").iterdir()
    assert read_state(state)[1]["step"] == 6              # two steps after it was subdivided
    resumed = stage(tmp_path / "cut", truth, 8, 24, 12, save_every=1e-9, resume=True).run().scene
    assert set(whole.state) == set(resumed.state)
    assert all(torch.equal(whole.state[name], resumed.state[name]) for name in whole.state)
    more = stage(tmp_path / "more", truth, 2, 24, 12, recipe=whole).run().scene         # a second stage
    assert more.state["field.shape.sdf"].shape == whole.state["field.shape.sdf"].shape
