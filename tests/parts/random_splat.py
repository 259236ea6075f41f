"""Gaussians at random places for tests."""
import torch

from distill3d.nodes.assets.splat import Splat


def random_splat(count=20, degree=0, seed=0):
    def rand(*shape):
        return torch.rand(*shape, generator=generator)

    generator = torch.Generator().manual_seed(seed)
    return Splat(2 * rand(count, 3) - 1, torch.nn.functional.normalize(rand(count, 4) - 0.5, dim=1),
                 0.01 + 0.2 * rand(count, 3), 0.05 + 0.9 * rand(count, 1), rand(count, (degree + 1) ** 2, 3) - 0.5)
