"""`distill3d ablate` on stand-ins whose result is the truth, or another object for some settings and seeds."""
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.evaluate.measure import saturation
from distill3d.nodes.evaluate.sheet import read_picture, shadings
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.evaluate.views import standard_views, take_pictures
from distill3d.nodes.shapes.caption import parse_shape
from distill3d.runner import schema
from distill3d.runner.ablate import main as ablate
from distill3d.runner.ablation import Ablation, diversity
from distill3d.runner.check import checked
from distill3d.runner.cli import main
from distill3d.runner.grid import FOLDER, Grid, GridRow, combinations, find_grid, grid_of_options, read_grid
from distill3d.runner.listing import find_workflow
from distill3d.runner.setting import with_settings
from distill3d.runner.workflow_file import read_graph
from true_scene import PROMPTS, Maker, evaluation


def written(tmp_path, **content):
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(content))
    return path


def test_axes_multiply_and_rows_override(tmp_path):
    assert [name for name, _ in combinations({"A.guidance": [1, 2], "steps": [3, 4]})] == [
        "guidance 1, steps 3", "guidance 1, steps 4", "guidance 2, steps 3", "guidance 2, steps 4"]
    grid = read_grid(written(tmp_path, set={"steps": 5, "x": 1}, axes={"B.x": [2, 3]}, seeds=[4],
                             rows=[{"name": "one"}, {"name": "two", "workflow": "w", "set": {"steps": 6}}]), "v")
    assert [(row.name, row.workflow) for row in grid.rows] == [("one, x 2", "v"), ("one, x 3", "v"), ("two, x 2", "w"),
                                                               ("two, x 3", "w")]
    assert grid.rows[2].sets == {"steps": 6, "x": 1, "B.x": 2} and grid.seeds == (4,)
    assert grid_of_options(["A.g=1, 2"], "v", {"steps": "9"}).rows[1] == GridRow("g 2", "v", {"steps": "9", "A.g": "2"})


@pytest.mark.parametrize("content, said", [
    ({"rows": [{"name": "a"}, {"name": "a"}]}, "different names"), ({"prompts": []}, "no grid"),
    ({"rows": [{"names": "a"}]}, "a row has"), ({"axes": {"a": 3}}, "a list"), ({"rows": [], "other": 1}, "no grid"),
    ({"axes": {"a": [1]}, "seeds": ["x"]}, "whole numbers")])
def test_what_is_no_grid_is_said(tmp_path, content, said):
    with pytest.raises(DistillError, match=said):
        read_grid(written(tmp_path, **content), "v")


def test_other_mistakes_are_said(tmp_path):
    with pytest.raises(DistillError, match="one of: diversity, score_terms, seeds"):
        find_grid("seed")
    with pytest.raises(DistillError, match="KEY=VALUE"):
        grid_of_options(["guidance"], "v", {})
    assert main(["ablate"]) == 1 and main(["ablate", "seeds", "--grid", "a=1"]) == 1
    assert main(["ablate", "--grid", "SDS Loss.guidance=1", "--seeds", "a", "--output", str(tmp_path)]) == 1
    assert main(["ablate", "--grid", "SDS Loss.guidence=1", "--output", str(tmp_path)]) == 1
    assert callable(ablate)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_grids_set_what_their_workflows_have(path):
    grid, registry = read_grid(path, "dreamfusion"), schema.default_registry()
    assert grid.about
    for row in grid.rows:
        checked(with_settings(read_graph(find_workflow(row.workflow)), registry, row.sets), registry)


def ablation(makers, prompts=PROMPTS[:2]):
    """makers: {row name: {seed: Maker}}."""
    grid = Grid(tuple(GridRow(name, "w", {"steps": 1}) for name in makers), seeds=(0, 1), about="Why.")

    def build(row, seed, folder: Path):
        return evaluation(makers[row.name][seed], seed=seed, keeps=True, facts={"set": dict(row.sets)})

    return Ablation(grid, prompts, build)


def test_a_table_line_for_each_row_with_the_diversity_of_seeds(tmp_path):
    same, wrong = {0: Maker(), 1: Maker()}, {0: Maker(), 1: Maker(a_red_cube="a blue cube")}
    lines = ablation({"same": same, "wrong": wrong}).run(tmp_path)
    assert [line["name"] for line in lines] == ["same", "wrong"] and [line["objects"] for line in lines] == [4, 4]
    assert lines[0]["diversity"] == 0 and lines[0]["color_right"] == 4 and lines[1]["color_right"] == 3
    pictures = [read_picture(tmp_path / "wrong" / f"seed_{seed}" / "rows" / "a_red_cube.views.png") for seed in (0, 1)]
    assert lines[1]["diversity"] == pytest.approx(diversity(pictures) / 2) and diversity(pictures) > 0.1
    table = (tmp_path / "table.md").read_text()
    assert "Why." in table and "| same | " in table and "* wrong: w; steps = 1" in table and "one nose" not in table
    assert (tmp_path / "table.csv").read_text().splitlines()[0].startswith("settings,IoU,PSNR dB")
    # Two rows of settings times two prompts, three shadings of four views of 16 pixels.
    assert Image.open(tmp_path / "contact_sheet.png").size == (320, 4 * (14 + 16 + 4))
    assert Image.open(tmp_path / "same" / "seed_0" / "rows" / "a_red_cube.shown.png").size == (3 * 4 * 16 + 2 * 4, 16)


def test_resume_keeps_what_is_there(tmp_path):
    makers = {"row": {0: Maker(), 1: Maker()}}
    ablation(makers).run(tmp_path)
    lines = ablation(makers).run(tmp_path, resume=True)
    assert len(makers["row"][0].asked) == 2 and lines[0]["objects"] == 4 and lines[0]["diversity"] == 0


def test_shadings_are_the_product_of_albedo_and_light():
    pictures = take_pictures(lambda views: true_rendering(parse_shape("a red sphere"), views), standard_views(32))
    unlit, lit, gray = (strip[:, :32] for strip in shadings(pictures))
    center = (16, 16)
    assert torch.allclose(lit[center], unlit[center] * gray[center], atol=1e-3)
    assert torch.allclose(lit[0, 0], torch.ones(3)) and torch.equal(gray[..., 0], gray[..., 1])
    assert saturation(pictures.color, pictures.opacity) == pytest.approx(1 - 0.10 / 0.85, abs=0.03)
    assert saturation(pictures.color, torch.zeros_like(pictures.opacity)) is None
    assert diversity([unlit]) is None


def test_clip_ranks_in_an_evaluation(tmp_path):
    from distill3d.nodes.evaluate.table import markdown, summary_line
    from distill3d.nodes.models.builtin import BUILTIN_CLIP

    pytest.importorskip("transformers")
    rows = evaluation(Maker(a_red_torus="a blue cube"), clip=str(BUILTIN_CLIP), size=32).run(tmp_path)
    assert [row.clip_right for row in rows] == [True, True, False] and rows[2].clip_nearest == "a blue cube"
    assert rows[0].clip_color > 0.8 and rows[2].clip_color < 0.2
    assert "CLIP R-Precision colour" in summary_line(rows) and "no: a blue cube" in markdown(rows, {})
