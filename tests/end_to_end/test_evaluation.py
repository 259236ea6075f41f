"""The standard list of prompts against their true shapes. Half an hour on two cores."""
import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_standard_prompts_reach_the_published_numbers(tmp_path):
    # A folder named by DISTILL3D_EVALUATION keeps the table and picks up an interrupted run.
    output = os.environ.get("DISTILL3D_EVALUATION", str(tmp_path))
    subprocess.run([sys.executable, "-m", "distill3d", "evaluate", "--output", output, "--device", "cpu", "--resume",
                    "--quiet"], check=True)
    with open(os.path.join(output, "table.json"), encoding="utf-8") as file:
        summary = json.load(file)["summary"]
    print(json.dumps(summary, indent=1))
    assert summary["failed"] == 0 and summary["without_mesh"] == 0
    assert summary["iou_mean"] >= 0.93 and summary["iou_min"] >= 0.82
    assert summary["psnr_mean"] >= 22
    assert summary["color_right"] >= 23 and summary["textureless_right"] >= 20
    assert summary["chamfer_mean"] <= 0.035
    assert summary["seconds_median"] < 90
