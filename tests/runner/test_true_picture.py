"""The true pictures that an image-to-3D workflow is given, and the table of its stages."""
import json

import pytest
import torch
from PIL import Image

from distill3d.nodes.cameras.reference_view import ReferenceViewNode
from distill3d.nodes.comfy import PICTURES, SCENE, Node, io
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.evaluate.table import Row
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.shapes.caption import parse_shape
from distill3d.runner import schema
from distill3d.runner.core_image import LoadImage
from distill3d.runner.evaluation import Evaluation
from distill3d.runner.product import WorkflowProducer
from distill3d.runner.true_picture import viewpoint_of, with_true_pictures
from distill3d.runner.workflow_file import read_graph


class TrueScene:
    is_surface = is_volume = False

    def __init__(self, caption):
        self.caption = caption

    def build(self, device="cpu"):
        return self

    def render(self, cameras, light=None, wanted=("rgb", "opacity"), *, step=0, streams=None, shading=None):
        return true_rendering(parse_shape(self.caption), cameras, 1)


class Optimize(Node):
    """Sees only the picture: gives a cube where it finds a red one."""

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Distill3D_Optimize", display_name="Optimize", is_output_node=True, inputs=[
            PICTURES.Input("reference"), SCENE.Input("scene", optional=True),
            io.Int.Input("seed", default=0, min=0, max=9)], outputs=[SCENE.Output("scene")])

    @classmethod
    def execute(cls, reference, seed, scene=None):
        inside = (reference.rgb * reference.mask).sum((0, 1, 2)) / reference.mask.sum()
        is_red = bool((inside - inside.new_tensor([0.86, 0.2, 0.18])).abs().max() < 0.15)
        return io.NodeOutput(TrueScene("a red cube" if is_red and scene is not None else "a blue torus"))


REGISTRY = schema.registry_of([LoadImage, ReferenceViewNode, Optimize])
VIEW = {"elevation": 20.0, "azimuth": 30.0, "distance": 2.75, "fovy": 40.0, "fill": 0.0}
WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "object.png"}},
    "2": {"class_type": "Distill3D_ReferenceView", "inputs": {"image": ["1", 0], "mask": ["1", 1], **VIEW}},
    "3": {"class_type": "Distill3D_Optimize", "inputs": {"reference": ["2", 1]}, "_meta": {"title": "Coarse"}},
    "4": {"class_type": "Distill3D_Optimize", "inputs": {"reference": ["2", 1], "scene": ["3", 0]},
          "_meta": {"title": "Fine"}},
}


def graph(workflow=WORKFLOW):
    return read_graph(workflow, REGISTRY)


def test_the_picture_is_the_true_shape_from_where_the_reference_view_says(tmp_path):
    changed = with_true_pictures(graph(), REGISTRY, "a red cube", tmp_path)
    name = changed.nodes["1"].inputs["image"]
    saved = torch.frombuffer(bytearray(Image.open(tmp_path / name).tobytes()), dtype=torch.uint8).view(256, 256,
                                                                                                       4) / 255
    view = viewpoint_of(graph(), REGISTRY)
    assert view == (20.0, 30.0, 2.75, 40.0)
    truth = true_rendering(parse_shape("a red cube"), view.cameras())
    assert (saved[..., 3:] - truth.opacity[0]).abs().max() < 0.01 and (saved[..., :3] - truth.rgb[0]).abs().max() < 0.01
    assert 0.05 < saved[..., 3].mean() < 0.9 and graph().nodes["1"].inputs["image"] == "object.png"


def test_depth_and_normals_come_as_the_reference_view_wants_them(tmp_path):
    workflow = {**WORKFLOW, "5": {"class_type": "LoadImage", "inputs": {"image": "d.png"}},
                "6": {"class_type": "LoadImage", "inputs": {"image": "n.png"}},
                "2": {"class_type": "Distill3D_ReferenceView", "inputs": {
                    "image": ["1", 0], "mask": ["1", 1], "depth": ["5", 0], "normal": ["6", 0], **VIEW,
                    "elevation": 0.0, "azimuth": 0.0, "depth_bright": "far", "normal_flips": "y z"}}}
    produce = WorkflowProducer(graph(workflow), classes=REGISTRY, output=tmp_path)
    changed = with_true_pictures(graph(workflow), REGISTRY, "a red sphere", tmp_path / "x" / "input")
    loaded = {key: Image.open(tmp_path / "x" / "input" / changed.nodes[key].inputs["image"]) for key in ("5", "6")}
    assert loaded["5"].getpixel((128, 128))[0] < loaded["5"].getpixel((80, 128))[0] - 2 < 150, "far is bright"
    left, top, middle = (loaded["6"].getpixel(at) for at in ((80, 128), (128, 80), (128, 128)))
    assert left[0] < 100 and top[1] < 100 and middle[2] < 5, "x right, y down, z away from the viewer"
    product = produce("a red sphere", 0, "x")
    assert [stage.name for stage in product.stages] == ["Coarse", "Fine"]


def test_one_load_image_cannot_be_two_pictures(tmp_path):
    workflow = {**WORKFLOW, "2": {"class_type": "Distill3D_ReferenceView", "inputs": {
        "image": ["1", 0], "depth": ["1", 0], **VIEW}}}
    with pytest.raises(DistillError, match="a Load Image of its own"):
        with_true_pictures(graph(workflow), REGISTRY, "a red cube", tmp_path)


def test_every_stage_is_measured(tmp_path):
    produce = WorkflowProducer(graph(), classes=REGISTRY, output=tmp_path / "files")
    evaluation = Evaluation(("a red cube", "a blue torus"), produce, size=16, points=500)
    row, other = evaluation.run(tmp_path)
    coarse, fine = row.stages
    assert (coarse.name, fine.name) == ("Coarse", "Fine") and fine.iou > 0.9 > coarse.iou
    assert fine.reference_psnr > coarse.reference_psnr + 5 and fine.chamfer is None, "the stand-in has no surface"
    assert other.stages[1].iou > 0.9, "a blue torus is what it makes of all that is not red"
    stored = json.loads((tmp_path / "table.json").read_text())["rows"][0]
    assert Row.of(stored) == row
    table = (tmp_path / "table.md").read_text()
    assert "means over 2 objects" in table and "| 1 Coarse |" in table and "| 2 Fine |" in table
    assert [one.stages for one in evaluation.run(tmp_path, resume=True)] == [row.stages, other.stages]
