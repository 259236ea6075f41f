"""An image of the true shape, in place of the one that an image-to-3D workflow loads."""
from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..kernels.image.geometry import nearness
from ..nodes.core.cameras import Cameras, orbit
from ..nodes.core.errors import DistillError
from ..nodes.core.picture import REACH
from ..nodes.evaluate.prompts import true_shape
from ..nodes.evaluate.sheet import write_picture
from ..nodes.evaluate.truth import true_rendering
from . import schema
from .check import class_of
from .graph import Graph, Link
from .schema import Registry

REFERENCE, LOADER = "Distill3D_ReferenceView", "LoadImage"
SHOWN = {"image": "picture", "mask": "picture", "depth": "depth", "normal": "normal"}  # by the input that it leads to
SIDE = 256  # pixels of a picture


class Viewpoint(NamedTuple):
    """The camera of a Reference View's image: degrees, world units."""

    elevation: float
    azimuth: float
    distance: float
    fovy: float

    def cameras(self, size: int = SIDE) -> Cameras:
        """One camera of size x size pixels."""
        with torch.inference_mode(False):
            angles = (torch.tensor([math.radians(value)]) for value in (self.azimuth, self.elevation))
            return orbit(*angles, self.distance, math.radians(self.fovy), size, size)


def viewpoint_of(graph: Graph, registry: Registry) -> Viewpoint | None:
    """The viewpoint of the workflow's first Reference View; None without one."""
    return next((_viewpoint(graph, registry, key) for key in _references(graph)), None)


def with_true_pictures(graph: Graph, registry: Registry, caption: str, folder: Path) -> Graph:
    """The graph with images of the true shape in each Load Image that feeds a Reference View: its colours, depth or
    normals, in the convention that the Reference View is set to. They are written into `folder`. Without a Reference
    View nothing is written.

    Raises DistillError if one Load Image would have to be two images.
    """
    wanted: dict[str, tuple[str, str]] = {}
    for reference in _references(graph):
        for name, kind in SHOWN.items():
            for loader in _loaders(graph, graph.nodes[reference].inputs.get(name)):
                if wanted.setdefault(loader, (reference, kind)) != (reference, kind):
                    raise DistillError(f'The workflow "{graph.name}" leads one Load Image (#{loader}) to several '
                                       'pictures of Reference Views. Give each a Load Image of its own, so that each '
                                       'gets its truth.')
    for loader, (reference, kind) in wanted.items():
        values = _values(graph, registry, reference)
        picture = _picture(kind, caption, _viewpoint(graph, registry, reference), values)
        name = re.sub(r"[^a-z0-9]+", "_", f"{caption.lower()} {kind} {reference}") + ".png"
        write_picture(folder / name, picture)
        graph = graph.with_input(loader, "image", name)
    return graph


def _references(graph: Graph) -> list[str]:
    return [key for key, node in graph.nodes.items() if node.type == REFERENCE]


def _loaders(graph: Graph, value: object) -> Iterator[str]:
    """The Load Image nodes upstream of a wire."""
    seen, open_links = set(), [value]
    while open_links:
        link = open_links.pop()
        if isinstance(link, Link) and link.node not in seen:
            seen.add(link.node)
            node = graph.nodes[link.node]
            if node.type == LOADER:
                yield link.node
            open_links.extend(node.inputs.values())


def _values(graph: Graph, registry: Registry, reference: str) -> dict:
    """The widget values of a Reference View."""
    node = graph.nodes[reference]
    return {name: node.inputs.get(name, getattr(entry, "default", None))
            for name, entry in schema.inputs_of(class_of(node, registry)).items()}


def _viewpoint(graph: Graph, registry: Registry, reference: str) -> Viewpoint:
    values = _values(graph, registry, reference)
    wired = [name for name in Viewpoint._fields if isinstance(values[name], Link)]
    if wired:
        raise DistillError(f'{graph.nodes[reference].label(registry)}: "{wired[0]}" is wired. To be compared with the '
                           'truth, write a number, so that the true picture can be taken from there.')
    return Viewpoint(*(float(values[name]) for name in Viewpoint._fields))


def _picture(kind: str, caption: str, viewpoint: Viewpoint, values: dict) -> Tensor:
    """[H,W,3], or [H,W,4] with opacity."""
    cameras = viewpoint.cameras()
    truth = true_rendering(true_shape(caption), cameras)
    if kind == "depth":
        near = nearness(truth.depth, truth.opacity, cameras.rays()[1], cameras.c2w, cameras.distance, REACH)[0]
        return (near if values["depth_bright"] == "near" else 1 - near).expand(-1, -1, 3)
    if kind == "normal":
        signs = torch.tensor([-1.0 if axis in values["normal_flips"].split() else 1.0 for axis in "xyz"])
        seen = F.normalize(torch.einsum("bhwi,bij->bhwj", truth.normal, cameras.c2w[:, :3, :3]), dim=-1)
        return (0.5 + 0.5 * torch.where(truth.opacity > 0, seen * signs, 0.0))[0]
    return torch.cat([truth.rgb, truth.opacity], -1)[0].clamp(0, 1)
