"""`distill3d evaluate` on workflows whose result is the truth, or known to be wrong. Tiny pictures."""
import concurrent.futures
import json
import pickle
import time

import pytest
import torch
from PIL import Image

from distill3d.nodes.comfy import PROMPT, SCENE, Node, Types, io
from distill3d.nodes.core.errors import DistillError
from distill3d.runner import schema
from distill3d.runner.cli import main
from distill3d.runner.evaluation import Evaluation, _each
from distill3d.runner.product import WorkflowProducer
from distill3d.runner.workflow_file import read_graph
from true_scene import PROMPTS, Maker, TrueScene, evaluation, true_mesh


def test_truth_gets_full_marks(tmp_path):
    lines = []
    make = Maker()
    rows = evaluation(make).run(tmp_path, report=lines.append)
    assert [row.caption for row in rows] == list(PROMPTS)
    assert make.asked == [(prompt, 3, prompt.replace(" ", "_")) for prompt in PROMPTS]
    for row in rows:
        # The stand-in traces one ray per pixel, the truth nine: outlines differ a little.
        assert row.iou > 0.9 and row.psnr > 18 and row.color_right and row.textureless_right and row.error is None
        assert row.chamfer < 0.02 and row.seconds == 1.5 and row.peak_memory_mb > 10
    assert len(lines) == 3 and lines[0].startswith("1/3 a red cube: IoU 0.9") and "WRONG" not in "".join(lines)


def test_wrong_results_are_told_apart(tmp_path):
    rows = evaluation(Maker(a_red_cube="a blue cube", a_red_torus="a red cube")).run(tmp_path)
    assert rows[0].iou > 0.9 and not rows[0].color_right and rows[0].textureless_right
    assert rows[0].color_nearest == "a blue cube" and rows[0].psnr < rows[1].psnr - 5
    assert not rows[2].color_right and not rows[2].textureless_right and rows[2].chamfer > 3 * rows[1].chamfer
    table = (tmp_path / "table.md").read_text()
    assert "precision colour 1/3, textureless 2/3" in table and "no: a blue cube" in table


def test_everything_is_written(tmp_path):
    evaluation(Maker(), facts={"workflow": "mine"}).run(tmp_path, only=2)
    data = json.loads((tmp_path / "table.json").read_text())
    assert [row["caption"] for row in data["rows"]] == list(PROMPTS[:2]) and data["summary"]["objects"] == 2
    assert data["facts"]["workflow"] == "mine" and data["facts"]["seed"] == 3 and "torch" in data["facts"]
    sheet = Image.open(tmp_path / "contact_sheet.png")
    assert sheet.size == (max(320, 3 * 4 * 16 + 2 * 4), 2 * (14 + 16 + 4))
    assert Image.open(tmp_path / "rows" / "a_red_cube.png").size == (3 * 4 * 16 + 2 * 4, 16)


def test_resume_runs_only_what_is_missing(tmp_path):
    evaluation(Maker(a_blue_cube=DistillError("No luck."))).run(tmp_path, only=2)
    make = Maker()
    rows = evaluation(make).run(tmp_path, resume=True)
    assert [prompt for prompt, _, _ in make.asked] == ["a blue cube", "a red torus"], "the failed and the missing one"
    assert len(rows) == 3 and all(row.error is None for row in rows)
    evaluation(make).run(tmp_path, resume=True)
    assert len(make.asked) == 2, "all rows are there"
    evaluation(make, seed=4).run(tmp_path, only=1, resume=True)
    assert len(make.asked) == 3, "another seed is another evaluation"
    (tmp_path / "rows" / "a_red_cube.json").write_text('{"fingerpr')
    evaluation(make, seed=4).run(tmp_path, only=1, resume=True)
    assert len(make.asked) == 4, "a damaged row is measured again"


def test_resume_says_what_else_rows_were_made_with(tmp_path):
    settings = {"set": {}, "weights": {"Built-in Prior (#1)": "aaa"}}
    evaluation(Maker(), facts=settings).run(tmp_path, only=2)
    make, lines = Maker(), []
    evaluation(make, facts=settings).run(tmp_path, only=2, resume=True, report=lines.append)
    assert make.asked == [] and lines == []
    other = {"set": {"steps": "9"}, "weights": {"Built-in Prior (#1)": "bbb"}}
    evaluation(make, facts=other).run(tmp_path, only=1, resume=True, report=lines.append)
    assert lines[0] == "1 stored row was made with other set, weights: it is made again" and len(lines) == 2
    evaluation(make, facts=other, size=12).run(tmp_path, only=2, resume=True, report=lines.append)
    assert lines[2] == "2 stored rows were made with other view size, set, weights: they are made again"
    assert [prompt for prompt, _, _ in make.asked] == ["a red cube", "a red cube", "a blue cube"]
    old = json.loads((tmp_path / "rows" / "a_red_cube.json").read_text())
    del old["made_with"]  # as written by earlier versions
    (tmp_path / "rows" / "a_red_cube.json").write_text(json.dumps({**old, "fingerprint": "x"}))
    assert (evaluation(make, facts=other, size=12).run(tmp_path, only=1, resume=True)[0].iou > 0.8
            and len(make.asked) == 4)


def test_an_interrupted_run_keeps_its_rows(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluation(Maker(a_blue_cube=KeyboardInterrupt())).run(tmp_path)
    assert [row["caption"] for row in json.loads((tmp_path / "table.json").read_text())["rows"]] == ["a red cube"]


def test_failures_are_rows(tmp_path):
    lines = []
    rows = evaluation(Maker(a_red_cube=DistillError("Extract Mesh: the field has no surface."))).run(
        tmp_path, only=1, report=lines.append)
    assert rows[0].iou is None and not rows[0].color_right and "no surface" in rows[0].error
    assert lines == ["1/1 a red cube: FAILED. Extract Mesh: the field has no surface."]
    assert "1 FAILED" in (tmp_path / "table.md").read_text() and (tmp_path / "contact_sheet.png").exists()


def test_a_bad_mesh_leaves_the_other_measures(tmp_path):
    class Flat(Maker):
        def __call__(self, prompt, seed, name):
            return super().__call__(prompt, seed, name)._replace(
                mesh=Types.MESH(vertices=torch.zeros(1, 3, 3), faces=torch.zeros(1, 1, 3, dtype=torch.long)))

    row, = evaluation(Flat()).run(tmp_path, only=1)
    assert row.iou > 0.9 and row.chamfer is None and "no area" in row.error


# A workflow of two stages: the first gives nothing good, the second the truth.

class ViewPrompt(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Distill3D_ViewPrompt", display_name="View Prompt",
                         inputs=[io.String.Input("prompt", default="a red cube")], outputs=[PROMPT.Output("prompt")])

    @classmethod
    def execute(cls, prompt):
        return io.NodeOutput(prompt)


class Optimize(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Distill3D_Optimize", display_name="Optimize", inputs=[
            PROMPT.Input("prompt"), SCENE.Input("scene", optional=True),
            io.Int.Input("seed", default=0, min=0, max=99), io.Int.Input("steps", default=9, min=0, max=99),
        ], outputs=[SCENE.Output("scene")])

    @classmethod
    def execute(cls, prompt, seed, steps, scene=None):
        assert seed == 5
        return io.NodeOutput(TrueScene(prompt if scene is not None and steps == 7 else "a pink capsule"))


class ToMesh(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="ToMesh", is_output_node=True, inputs=[SCENE.Input("scene")],
                         outputs=[io.Mesh.Output("mesh")])

    @classmethod
    def execute(cls, scene):
        return io.NodeOutput(true_mesh(scene.caption))


class Paint(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Paint", is_output_node=True, inputs=[io.Mesh.Input("mesh")],
                         outputs=[io.Mesh.Output("mesh")])

    @classmethod
    def execute(cls, mesh):
        raise DistillError("No paint left.")


WORKFLOW = {
    "9": {"class_type": "ToMesh", "inputs": {"scene": ["2", 0]}},
    "1": {"class_type": "Distill3D_Optimize", "inputs": {"prompt": ["3", 0]}},
    "2": {"class_type": "Distill3D_Optimize", "inputs": {"prompt": ["3", 0], "scene": ["1", 0]}},
    "3": {"class_type": "Distill3D_ViewPrompt", "inputs": {"prompt": "a red cube"}},
}
REGISTRY = schema.registry_of([ViewPrompt, Optimize, ToMesh, Paint])


def producer(workflow, **settings):
    return WorkflowProducer(read_graph(workflow, REGISTRY), classes=REGISTRY, **settings)


def test_scene_and_mesh_of_the_last_stage(tmp_path):
    produce = producer(WORKFLOW, sets={"2.steps": "7"}, output=tmp_path)
    product = produce("a blue cube", 5, "a_blue_cube")
    assert product.scene == TrueScene("a blue cube") and product.mesh.vertices.shape[0] == 1
    assert product.seconds > product.optimize_seconds > 0


def test_quick_leaves_out_what_is_not_measured(tmp_path):
    workflow = {**WORKFLOW, "10": {"class_type": "Paint", "inputs": {"mesh": ["9", 0]}}}
    with pytest.raises(DistillError, match="No paint"):
        producer(workflow, sets={"2.steps": "7"}, output=tmp_path)("a blue cube", 5, "a_blue_cube")
    product = producer(workflow, sets={"2.steps": "7"}, output=tmp_path, quick=True)("a blue cube", 5, "a_blue_cube")
    assert product.scene == TrueScene("a blue cube") and product.mesh.vertices.shape[0] == 1


def test_workflows_that_cannot_be_judged_are_refused():
    with pytest.raises(DistillError, match="makes no scene"):
        producer({"3": WORKFLOW["3"]}).prepared("a red cube", None)
    with pytest.raises(DistillError, match="stepz"):
        producer(WORKFLOW, sets={"stepz": "7"}).prepared("a red cube", 5)


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schema, "default_registry", lambda: REGISTRY)
    workflow, prompts, output = tmp_path / "mine.json", tmp_path / "prompts.txt", tmp_path / "out"
    workflow.write_text(json.dumps(WORKFLOW))
    prompts.write_text("a red cube\na blue cube\n")
    common = ["evaluate", "--workflow", str(workflow), "--prompts", str(prompts), "--output", str(output),
              "--seed", "5", "--device", "cpu", "--only", "1"]
    assert main([*common, "--set", "2.steps=7"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("1 object; IoU mean 1.000") and printed.out.rstrip().endswith("table.md")
    assert "1/1 a red cube: IoU" in printed.err
    assert json.loads((output / "table.json").read_text())["facts"]["set"] == {"2.steps": "7"}
    assert main([*common, "--set", "2.stepz=7"]) == 1 and "stepz" in capsys.readouterr().err
    assert main([*common, "--jobs", "0"]) == 1 and "--jobs is 0" in capsys.readouterr().err


def test_new_weights_are_noticed(tmp_path, monkeypatch, capsys):
    """The workflow, its settings and the name of the model are the same; only the file is another."""
    class Reader(Node):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id="Reader", display_name="Reader", outputs=[PROMPT.Output("prompt")], inputs=[
                PROMPT.Input("prompt"), io.String.Input("model", default=""), io.String.Input("folder", default="")])

        @classmethod
        def fingerprint_inputs(cls, model="", folder=""):
            return f"own {folder}"

        @classmethod
        def execute(cls, prompt, model, folder):
            return io.NodeOutput(prompt)

    registry = {**REGISTRY, "Reader": Reader}
    monkeypatch.setattr(schema, "default_registry", lambda: registry)
    (tmp_path / "models/checkpoints").mkdir(parents=True)
    (tmp_path / "models/checkpoints/a.pt").write_bytes(b"old")
    (tmp_path / "secret").write_bytes(b"no model")
    workflow, prompts = {**WORKFLOW, "8": {"class_type": "Reader", "inputs": {
        "prompt": ["3", 0], "model": "a.pt", "folder": "../../secret"}}}, tmp_path / "prompts.txt"
    workflow["1"] = {"class_type": "Distill3D_Optimize", "inputs": {"prompt": ["8", 0]}}
    (tmp_path / "mine.json").write_text(json.dumps(workflow))
    prompts.write_text("a red cube\n")
    output = tmp_path / "out"
    call = ["evaluate", "--workflow", str(tmp_path / "mine.json"), "--prompts", str(prompts), "--output", str(output),
            "--seed", "5", "--device", "cpu", "--set", "2.steps=7", "--models", str(tmp_path / "models"), "--resume"]

    def weights():
        return json.loads((output / "table.json").read_text())["facts"]["weights"]

    assert main(call) == 0 and capsys.readouterr().err.count("1/1 a red cube") == 1
    first = weights()
    assert list(first) == ["Reader (#8)"] and first["Reader (#8)"].startswith("own ../../secret ")
    assert len(first["Reader (#8)"].split()) == 3, "the node's own words and one file"
    assert main(call) == 0 and capsys.readouterr().err == ""
    (tmp_path / "models/checkpoints/a.pt").write_bytes(b"new and longer")
    assert main(call) == 0
    assert capsys.readouterr().err.splitlines()[0] == "1 stored row was made with other weights: it is made again"
    assert weights() != first


def test_the_weights_of_the_built_in_prior_are_named(tmp_path):
    from distill3d.nodes.models.builtin import BUILTIN_FOLDER
    from distill3d.nodes.priors.builtin_prior import weights_digest
    from distill3d.runner.listing import find_workflow

    found = WorkflowProducer(read_graph(find_workflow("dreamfusion")), output=tmp_path).weights("a red cube", 0)
    assert [name.split(" (")[0] for name in found] == ["Built-in Prior"]
    assert list(found.values()) == [weights_digest(BUILTIN_FOLDER)]


def test_jobs_keep_the_order(monkeypatch):
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor",
                        lambda jobs, context, start, values: concurrent.futures.ThreadPoolExecutor(jobs))
    rows = _each(lambda prompt: time.sleep(0.05 * (prompt == "a")) or prompt.upper(), ["a", "b", "c"], jobs=3)
    assert list(rows) == ["A", "B", "C"]
    sent = Evaluation(PROMPTS, WorkflowProducer(read_graph(WORKFLOW, REGISTRY), {"steps": "7"}))
    assert pickle.loads(pickle.dumps(sent)) == sent, "an evaluation travels to other processes"
