"""Fields and backgrounds say at their nodes which groups of parameters they have."""
import pytest
import torch

from distill3d.nodes import node_list
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.comfy import FIELD
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.gaussians import Gaussians, GaussiansNode
from distill3d.nodes.fields.hash_grid_sdf import HashGridSDF, HashGridSDFNode
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume, HashGridVolumeNode
from distill3d.nodes.fields.mlp_volume import MLPVolume, MLPVolumeNode
from distill3d.nodes.fields.scene_to_sdf import SceneToSDFNode
from distill3d.nodes.fields.scene_to_tet_grid import SceneToTetGridNode
from distill3d.nodes.fields.tet_grid import TetGrid, TetGridNode
from distill3d.nodes.fields.trainable_mesh import TrainableMesh, TrainableMeshNode
from distill3d.nodes.fields.triplane_volume import TriplaneVolume, TriplaneVolumeNode
from distill3d.nodes.fields.voxel_volume import VoxelVolume, VoxelVolumeNode
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.environment_background import EnvironmentBackground, EnvironmentBackgroundNode
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.pbr import PBR
from distill3d.nodes.materials.random_background import RandomBackground
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.runner import schema
from mesh_field import ball

GRID = FeatureGrid(2, 2, 6, 4, 8, 8)
MESH = Mesh(*ball(4))
# Each node with settings that show all of its groups between them.
FIELDS = {
    VoxelVolumeNode: [VoxelVolume(resolutions=(4, 8))],
    HashGridVolumeNode: [HashGridVolume(levels=2, log2_size=6, base=4, finest=8, width=8)],
    TriplaneVolumeNode: [TriplaneVolume(resolution=4, features=2, width=4)],
    MLPVolumeNode: [MLPVolume(octaves=2, depth=1, width=4)],
    HashGridSDFNode: [HashGridSDF(grid=GRID)],
    SceneToSDFNode: [HashGridSDF(grid=GRID)],
    TetGridNode: [TetGrid(resolution=8, values=values, features=GRID) for values in ("vertices", "network")],
    SceneToTetGridNode: [TetGrid(resolution=8, values=values, features=GRID) for values in ("vertices", "network")],
    GaussiansNode: [Gaussians(count=10, degree=1)],
    TrainableMeshNode: [TrainableMesh(MESH, 8, shape=True)],
}


def groups_of(module):
    return {name for name, parameters in module.parameter_groups().items() if parameters}


def makes_a_field_of_its_own(node):
    """From widgets alone."""
    entry = node.define_schema()
    return (any(output.io_type == FIELD.io_type for output in entry.outputs)
            and all(each.optional or schema.widget_type(each) for each in entry.inputs))


# Nodes that are not above are asked with their defaults.
FIELDS |= {node: [node.execute().args[0]] for node in node_list()
           if node not in FIELDS and makes_a_field_of_its_own(node)}


@pytest.mark.parametrize("node", FIELDS, ids=lambda node: node.__name__)
def test_a_field_has_the_groups_that_its_node_says(node):
    built = [recipe.build(3) for recipe in FIELDS[node]]
    declared = built[0].groups
    assert set().union(*(groups_of(module)
                         for module in built)) == set(declared) and len(set(declared)) == len(declared)
    tooltip = next(output.tooltip for output in node.define_schema().outputs if output.io_type == FIELD.io_type)
    assert tooltip.endswith(f"Groups for Optimizer Settings: {', '.join(declared)}.")


@pytest.mark.parametrize("node", FIELDS, ids=lambda node: node.__name__)
def test_every_parameter_stands_once_in_its_groups(node):
    for recipe in FIELDS[node]:
        module = recipe.build(3)
        grouped = [id(parameter) for parameters in module.parameter_groups().values() for parameter in parameters]
        trained = [id(parameter) for parameter in module.parameters() if parameter.numel()]
        assert sorted(grouped) == sorted(trained)


@pytest.mark.parametrize("recipe", [Albedo(), Lambertian(), PBR(), SolidBackground(), RandomBackground(),
                                    EnvironmentBackground()], ids=lambda recipe: type(recipe).__name__)
def test_materials_and_backgrounds_have_the_groups_that_they_say(recipe):
    module = recipe.build()
    assert groups_of(module) == set(module.groups)
    assert {id(parameter) for parameters in module.parameter_groups().values() for parameter in parameters} == {
        id(parameter) for parameter in module.parameters()}
    if module.groups:
        assert f"Groups for Optimizer Settings: {', '.join(module.groups)}." in (
            EnvironmentBackgroundNode.define_schema().outputs[0].tooltip)


@pytest.mark.parametrize("node", FIELDS, ids=lambda node: node.__name__)
def test_a_field_states_what_it_answers(node):
    for recipe in FIELDS[node]:
        module = recipe.build(3)
        if module.is_surface:
            assert not (module.is_volume or module.is_gaussian or module.has_distance)
            module.begin_with(Albedo().build())
            assert len(module.surface().faces)
            continue
        x = torch.zeros(2, 3)
        assert module.is_volume and module.density(x).shape == (2,) and len(module(x).features) == 2
        if module.has_distance:
            assert module.sdf(x).shape == (2,) and module.sharpness > 0
        if module.is_gaussian:
            assert len(module.splat()) == 10 and module.radius > 0
