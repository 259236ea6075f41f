"""Fronts that show once: eight objects with a nose, by the multi-view prior and by the plain one. Some 20 minutes."""
import json
import os
import subprocess
import sys

import pytest

from distill3d.nodes.evaluate.prompts import STANDARD

NOSED = STANDARD.with_name("prompts_nosed.txt")


def one_nose(workflow, output):
    subprocess.run([sys.executable, "-m", "distill3d", "evaluate", "--workflow", workflow, "--prompts", str(NOSED),
                    "--quick", "--output", output, "--device", "cpu", "--resume", "--quiet"], check=True)
    with open(os.path.join(output, "table.json"), encoding="utf-8") as file:
        summary = json.load(file)["summary"]
    print(workflow, json.dumps(summary, indent=1))
    assert summary["failed"] == 0 and summary["nosed"] == 8
    return summary["one_nose"]


@pytest.mark.slow
def test_views_that_are_painted_together_agree_on_the_front(tmp_path):
    # A folder named by DISTILL3D_EVALUATION keeps the tables and picks up an interrupted run.
    folder = os.environ.get("DISTILL3D_EVALUATION", str(tmp_path))
    together = one_nose("multi_view", os.path.join(folder, "multi_view_noses"))
    apart = one_nose("dreamfusion", os.path.join(folder, "plain_noses"))
    assert together >= 7 and together > apart
