"""Workflows of several stages against true shapes, measured after each stage. An hour or more on two cores."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distill3d.nodes import evaluate

PROMPTS = Path(evaluate.__file__).parent


def stages(workflow, tmp_path, *options):
    """Means over the objects, by stage."""
    # A folder named by DISTILL3D_EVALUATION keeps the table and picks up an interrupted run.
    output = os.path.join(os.environ.get("DISTILL3D_EVALUATION", str(tmp_path)), workflow)
    subprocess.run([sys.executable, "-m", "distill3d", "evaluate", "--workflow", workflow, "--quick", "--jobs", "2",
                    "--output", output, "--device", "cpu", "--resume", "--quiet", *options], check=True)
    with open(os.path.join(output, "table.json"), encoding="utf-8") as file:
        table = json.load(file)
    assert table["summary"]["failed"] == 0
    rows = [row["stages"] for row in table["rows"]]
    return [{name: sum(row[number][name] for row in rows) / len(rows)
             for name in ("iou", "psnr", "normal_error", "chamfer")}
            for number in range(len(rows[0]))]


@pytest.mark.slow
def test_magic3ds_fine_stage_is_nearer_to_the_truth(tmp_path):
    coarse, fine = stages("magic3d", tmp_path)
    print(coarse, fine)
    assert fine["iou"] > coarse["iou"] and fine["normal_error"] < 0.6 * coarse["normal_error"]
    assert fine["chamfer"] < 0.012


@pytest.mark.slow
def test_one_picture_through_four_stages(tmp_path):
    found = stages("dreamcraft3d", tmp_path, "--prompts", str(PROMPTS / "prompts_half.txt"))
    print(found)
    assert len(found) == 4 and found[-1]["iou"] > 0.96 and found[2]["normal_error"] < 0.3 * found[0]["normal_error"]
    for before, after in zip(found, found[1:]):
        assert after["iou"] > before["iou"] - 0.002 and after["chamfer"] < before["chamfer"] + 0.0002
