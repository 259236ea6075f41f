"""The regularisers of triangle meshes: what a recipe wants, weighs, logs and chains."""
import pytest
import torch

from distill3d.kernels.surface.mesh import vertex_normals
from distill3d.kernels.surface.regularize import laplacian, normal_consistency
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.field import Surface
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.laplacian import Laplacian, LaplacianLossNode
from distill3d.nodes.losses.normal_consistency import NormalConsistency, NormalConsistencyLossNode
from looks import look_at

CPU = torch.device("cpu")
LOSSES = [NormalConsistency, Laplacian]
NODES = [NormalConsistencyLossNode, LaplacianLossNode]
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def rendering(vertices=None):
    """A tetrahedron."""
    vertices = torch.cat([torch.zeros(1, 3), torch.eye(3)]) if vertices is None else vertices
    return Rendering(surface=Surface(vertices, FACES, vertex_normals(vertices, FACES)))


def term(loss, picture, step=0, total=10):
    return loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))(look_at(picture, step=step, total=total))


def test_values():
    surface = rendering().surface
    assert term(NormalConsistency(Schedule.of(2.0)), rendering()).value == 2 * normal_consistency(surface.normals,
                                                                                                  FACES)
    assert term(Laplacian(Schedule.of(2.0)), rendering()).value == 2 * laplacian(surface.vertices, FACES)


@pytest.mark.parametrize("loss", LOSSES)
def test_vertices_are_told_and_become_smoother(loss):
    vertices = torch.cat([torch.zeros(1, 3), torch.eye(3)]).requires_grad_()
    before = term(loss(Schedule.of(1.0)), rendering(vertices))
    before.value.backward()
    with torch.no_grad():
        moved = vertices - 1e-3 * vertices.grad
    assert term(loss(Schedule.of(1.0)), rendering(moved)).value < before.value
    assert not before.log["value"].requires_grad and before.log["weight"] == 1.0


@pytest.mark.parametrize("loss", LOSSES)
def test_the_weight_follows_its_schedule(loss):
    ramp = loss(Schedule(((0, 0.0), (1, 8.0)), unit="fraction"))
    first, middle, last = (term(ramp, rendering(), step, total=11).value for step in (0, 5, 10))
    assert first == 0 and last.item() == pytest.approx(2 * middle.item())


@pytest.mark.parametrize("loss, title", [(NormalConsistency, "Normal Consistency Loss"), (Laplacian, "Laplacian Loss")])
def test_renderers_without_triangles_are_explained(loss, title):
    assert loss().wanted == {"surface"}
    with pytest.raises(DistillError, match=f"{title}.*Mesh Rasterizer"):
        term(loss(), Rendering(opacity=torch.zeros(1, 1, 1, 1)))


def test_nodes_chain_and_start_with_the_recipes_numbers():
    chain = ()
    for node in NODES:
        defaults = {widget.id: widget.default for widget in node.define_schema().inputs if widget.default is not None}
        chain = node.execute(**defaults, losses=chain).args[0]
    assert chain == (NormalConsistency(), Laplacian())
