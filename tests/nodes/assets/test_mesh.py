import torch

from distill3d.nodes.assets.mesh import Mesh, first_at, from_y_up, smooth_normals, to_y_up, weld

# Two triangles of the unit square in the plane z = 0; the diagonal's ends are there twice, as a UV seam leaves them.
SPLIT = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0.0, 0, 0], [1, 1, 0], [0, 1, 0]])
FACES = torch.tensor([[0, 1, 2], [3, 4, 5]])


def test_up_becomes_y_and_the_front_z():
    x, y, z = torch.eye(3)
    assert torch.equal(to_y_up(z), y) and torch.equal(to_y_up(x), z) and torch.equal(to_y_up(y), x)
    assert float(torch.linalg.det(to_y_up(torch.eye(3)))) == 1       # turned, not mirrored
    assert torch.equal(from_y_up(to_y_up(SPLIT)), SPLIT)


def test_weld_joins_only_equal_places():
    vertices, faces, place = weld(SPLIT, FACES)
    assert len(vertices) == 4
    assert torch.equal(vertices[place], SPLIT)
    assert torch.equal(vertices[faces], SPLIT[FACES])
    moved = SPLIT.clone()
    moved[3, 2] = 1e-6
    assert len(weld(moved, FACES)[0]) == 5


def test_first_at_names_the_lowest_vertex_of_each_place():
    vertices, _, place = weld(SPLIT, FACES)
    first = first_at(place, len(vertices))
    assert sorted(first.tolist()) == [0, 1, 2, 5]
    assert torch.equal(SPLIT[first], vertices)


def test_normals_do_not_show_a_seam():
    bent = SPLIT.clone()
    bent[5, 2] = 1.0                                     # one triangle leans: each face alone would have another normal
    normals = smooth_normals(bent, FACES)
    torch.testing.assert_close(normals[0], normals[3])
    torch.testing.assert_close(normals[2], normals[4])
    assert not torch.allclose(normals[0], normals[1], atol=0.1)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(6))


def test_normals_without_area_are_still_unit():
    normals = smooth_normals(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    assert torch.equal(normals, torch.tensor([[0.0, 0, 1]] * 3))


def test_empty_mesh():
    vertices, faces, place = weld(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert len(vertices) == len(faces) == len(place) == 0


def test_to_moves_every_tensor_and_leaves_the_rest():
    mesh = Mesh(SPLIT, FACES, normals=smooth_normals(SPLIT, FACES)).to("meta")
    assert {mesh.vertices.device.type, mesh.faces.device.type, mesh.normals.device.type} == {"meta"}
    assert mesh.uv is None
