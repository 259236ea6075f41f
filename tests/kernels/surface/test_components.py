import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.surface.components import component_labels, connected, keep_largest


def by_hand(edges, count):
    label = list(range(count))
    for _ in range(count):
        for a, b in edges:
            label[a] = label[b] = min(label[a], label[b])
    names = {name: i for i, name in enumerate(sorted(set(label)))}
    return [names[name] for name in label]


@pytest.mark.parametrize("links", [0, 10, 25, 60])
def test_matches_a_plain_loop(links):
    edges = torch.randint(0, 40, (links, 2), generator=torch.Generator().manual_seed(links))
    assert connected(edges, 40).tolist() == by_hand(edges.tolist(), 40)


def test_a_long_shuffled_path_is_one_component():
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
    edges = torch.stack([order[:-1], order[1:]], 1)
    keep = torch.ones(4999, dtype=torch.bool)
    keep[2499] = False
    assert connected(edges, 5000).max() == 0
    label = connected(edges[keep], 5000)
    assert label[order[:2500]].unique().numel() == 1 and label.max() == 1


def test_component_labels_of_faces():
    faces = torch.tensor([[5, 1, 2], [2, 1, 6], [0, 4, 7]])
    assert component_labels(faces, 8).tolist() == [0, 1, 1, 2, 0, 1, 1, 0]
    assert component_labels(faces[:0], 3).tolist() == [0, 1, 2]


def test_keep_largest_compares_areas():
    small = torch.tensor([[0., 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    vertices = torch.cat([small, 10 * small[:3], 3 * small[:3]]).requires_grad_()
    faces = torch.tensor([[0, 1, 2], [1, 3, 2], [4, 5, 6], [7, 8, 9]])        # areas 1, 50, 4.5
    kept, kept_faces = keep_largest(vertices, faces)
    assert torch.equal(kept, vertices[4:7]) and kept_faces.tolist() == [[0, 1, 2]]
    kept.sum().backward()
    assert vertices.grad[:, 0].tolist() == [0] * 4 + [1] * 3 + [0] * 3
    assert torch.equal(keep_largest(vertices, faces, 0.05)[0], vertices[4:])
    assert torch.equal(keep_largest(vertices, faces, 0.0)[0], vertices)


def test_keep_largest_of_nothing_and_bad_ratio():
    vertices, faces = keep_largest(torch.rand(4, 3), torch.zeros(0, 3, dtype=torch.int64))
    assert vertices.shape == (0, 3) and faces.shape == (0, 3)
    with pytest.raises(ValueError, match="1.5"):
        keep_largest(torch.rand(4, 3), faces, 1.5)


def test_vertices_of_the_largest_have_gradients():
    vertices = torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    faces = torch.tensor([[0, 1, 2], [1, 2, 3], [4, 5, 6]])
    assert gradcheck(lambda vertices: keep_largest(vertices, faces)[0], vertices)
