"""DreamCraft3D's workflow, killed in each of its four stages: every stage continues from its last saved step."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill3d.nodes.core.state import read_state

# by title
STEPS = {"1 Coarse: a volume": 12, "2 NeuS: a signed distance": 10, "3 Geometry: a mesh": 10, "4 Texture": 10}
PICTURES = Path(__file__).parents[2] / "web"


def command(output, *options):
    # Small: what is tested here is the way, not the picture.
    sets = ["Load Image.image=stack.png", "Scene to SDF.resolution=24", "Scene to SDF.color_steps=20",
            "Scene to Tet Grid.resolution=24", "Scene to Tet Grid.color_steps=20",
            "Extract Mesh.resolution=32", "Bake Texture.texture_size=256", "Unwrap UV.texture_size=256",
            "Turntable.frames=2", "Turntable.size=32"]
    for node, steps in STEPS.items():
        sets += [f"{node}.steps={steps}", f"{node}.save_every=0.0001"]
    return [sys.executable, "-m", "distill3d", "run", "dreamcraft3d", "--input", str(PICTURES), "--output", str(output),
            "--device", "cpu", *(word for one in sets for word in ("--set", one)), *options]


def states(output) -> list[Path]:
    """The files of the stages that have begun, in their order."""
    return sorted((Path(output) / "distill3d_states").glob("*.safetensors"), key=lambda file: os.stat(file).st_ctime_ns)


def kill_in_stage(number, output, *options) -> int:
    """The step that was saved last when the process was killed."""
    process = subprocess.Popen(command(output, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finished = set()
    while process.poll() is None:
        running = [file for file in states(output) if file not in finished]
        for file in running:
            facts = read_state(file)[1]
            if facts["finished"]:
                finished.add(file)
            elif len(finished) == number and facts["step"] >= 3:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return read_state(file)[1]["step"]
        time.sleep(0.01)
    raise AssertionError(f"the run ended before it could be killed in stage {number + 1}")


@pytest.mark.slow
def test_killed_in_each_stage_and_resumed_equals_uninterrupted(tmp_path):
    whole = subprocess.run(command(tmp_path / "whole"), capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr[-2000:]
    cut = tmp_path / "cut"
    saved = [kill_in_stage(number, cut, *(["--resume"] if number else [])) for number in range(len(STEPS))]
    done = subprocess.run(command(cut, "--resume"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"resumed at step {saved[-1]} of" in done.stdout + done.stderr
    print("killed after steps", saved, "of", list(STEPS.values()))
    files, names = states(tmp_path / "whole"), {file.name for file in states(cut)}
    assert len(files) == len(STEPS) and names == {file.name for file in files}
    for file in files:
        expected, found = read_state(file), read_state(cut / "distill3d_states" / file.name)
        assert found[1]["finished"] and all((found[0][name] == tensor).all() for name, tensor in expected[0].items())
    assert list((cut / "distill3d").glob("*.glb"))
