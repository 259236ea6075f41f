import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.mesh import face_areas
from distill3d.kernels.uv.bake import texel_positions
from distill3d.kernels.uv.box_atlas import box_atlas

# The unit cube, two triangles a side, outward.
CORNERS = torch.tensor([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)])
CUBE = torch.tensor([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                     [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])


def uv_areas(uv, faces):
    a, b, c = uv[faces].unbind(1)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def bumpy_ball():
    line = torch.linspace(-1, 1, 25)
    x = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)
    return isosurface(0.6 - x.norm(dim=-1) + 0.1 * torch.sin(9 * x).prod(-1), 0.0, [[-1] * 3, [1] * 3])


def test_cube_is_six_squares():
    uv, faces, source = box_atlas(CORNERS, CUBE, gap=0.01)
    assert len(uv) == 24                                 # four for each side: split only between sides
    assert torch.equal(source[faces], CUBE)
    areas = uv_areas(uv, faces)
    torch.testing.assert_close(areas, areas[:1].expand(12))          # one scale, none mirrored
    assert 6 / 9 * 0.9 < float(areas.sum()) < 6 / 9                  # three rows of three fit, with gaps


def test_atlas_keeps_gaps_and_overlaps_nothing():
    vertices, faces = bumpy_ball()
    gap, size = 4 / 512, 512
    uv, faces_uv, source = box_atlas(vertices, faces, gap)
    assert torch.equal(source[faces_uv], faces)
    assert float(uv.min()) >= 0 and float(uv.max()) <= 1
    areas = uv_areas(uv, faces_uv)
    assert float(areas.min()) >= 0
    _, covered, owner = texel_positions(uv, faces_uv, vertices, faces, size)
    # Overlapping faces would cover fewer texels than their areas add up to.
    torch.testing.assert_close(covered.float().mean(), areas.sum(), rtol=0.01, atol=0)
    # The six directions of a ball see their charts: no face loses more than 1 / sqrt(3) of its area.
    scale = areas / face_areas(vertices, faces)
    solid = face_areas(vertices, faces) > 1e-6
    assert float(scale[solid].min() / scale[solid].max()) > 1 / 3**0.5 - 1e-3


def test_gap_shrinks_for_many_charts():
    # 400 separate triangles cannot keep a distance of a tenth of the picture.
    corners = torch.rand(400, 3, 3, generator=torch.Generator().manual_seed(0))
    faces = torch.arange(1200).view(400, 3)
    uv, faces_uv, _ = box_atlas(corners.view(-1, 3), faces, gap=0.1)
    assert float(uv.max()) <= 1
    assert float(uv_areas(uv, faces_uv).abs().sum()) > 0.05


def test_faces_without_area_and_no_faces():
    faces = torch.tensor([[0, 0, 1], [0, 2, 6]])
    uv, faces_uv, source = box_atlas(CORNERS, faces)
    assert torch.equal(source[faces_uv], faces) and bool(uv.isfinite().all())
    uv, faces_uv, source = box_atlas(CORNERS, faces[:0])
    assert len(uv) == len(faces_uv) == len(source) == 0


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="faces"):
        box_atlas(CORNERS, CUBE[:, :2])
