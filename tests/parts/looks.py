"""Looks for prepared losses in tests."""
from distill3d.nodes.core.loss import Look
from distill3d.nodes.core.rng import Streams


def look_at(rendering, cameras=None, step=0, streams=None, total=100, scene=None, initial=None):
    """A Look; without streams, those of seed 0 at the step."""
    return Look(rendering, cameras, step, total, streams or Streams(0, step), scene, initial)
