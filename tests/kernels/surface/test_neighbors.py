import torch

from distill3d.kernels.surface import neighbors
from distill3d.kernels.surface.neighbors import neighbor_distance


def test_points_of_a_grid_are_one_unit_apart(monkeypatch):
    line = torch.arange(5.0)
    points = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).view(-1, 3)
    monkeypatch.setattr(neighbors, "PAIRS_AT_ONCE", 1000)      # in many parts
    torch.testing.assert_close(neighbor_distance(points), torch.ones(125))


def test_the_mean_is_that_of_squares():
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0], [0, 7, 0]])
    torch.testing.assert_close(neighbor_distance(points)[0], torch.tensor((1 + 9 + 49) / 3).sqrt())


def test_few_points():
    assert neighbor_distance(torch.zeros(1, 3)).tolist() == [0] and neighbor_distance(torch.zeros(0, 3)).shape == (0,)
    assert neighbor_distance(torch.tensor([[0.0, 0, 0], [2, 0, 0]])).tolist() == [2, 2]
