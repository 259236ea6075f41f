"""Runs that are killed or cancelled at random moments, again and again, end in the bytes of the uninterrupted run.

KILLS says how often in all (default 8): KILLS=50 pytest -m slow tests/end_to_end/test_killed_anywhere.py -s
"""
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from distill3d.nodes.core.reservation import owner_of
from distill3d.nodes.core.state import read_state

KILLS = int(os.environ.get("KILLS", 8))
PICTURES = Path(__file__).parents[2] / "web"
EXPORT = ("Extract Mesh.resolution=32", "Bake Texture.texture_size=256", "Unwrap UV.texture_size=256",
          "Turntable.frames=2", "Turntable.size=32")
# Small, with as many steps as leave time to be killed in each stage.
WORKFLOWS = {
    "dreamfusion": {"Optimize": 24}, "dreamgaussian": {"Optimize": 24},
    "magic3d": {"Coarse: a volume": 16, "Fine: a mesh": 12},
    "dreamcraft3d": {"1 Coarse: a volume": 10, "2 NeuS: a signed distance": 8, "3 Geometry: a mesh": 8, "4 Texture": 8}}
MORE = {"dreamcraft3d": ("Load Image.image=stack.png", "Scene to SDF.resolution=24", "Scene to SDF.color_steps=20",
                         "Scene to Tet Grid.resolution=24", "Scene to Tet Grid.color_steps=20"),
        "magic3d": ("Scene to Tet Grid.resolution=32",)}
WAYS = ("kill", "kill", "cancel twice", "terminate")


def start(workflow, output, *options):
    sets = [*MORE.get(workflow, ()), *(EXPORT if workflow != "dreamgaussian" else EXPORT[-2:])]
    for node, steps in WORKFLOWS[workflow].items():
        sets += [f"{node}.steps={steps}", f"{node}.save_every=0.0001"]
    return subprocess.Popen([sys.executable, "-m", "distill3d", "run", workflow, "--input", str(PICTURES), "--output",
                             str(output), "--device", "cpu", *(word for one in sets for word in ("--set", one)),
                             *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    text = process.communicate()[0]
    assert process.returncode == 0, text[-2000:]
    return text


def end(process, way):
    if way == "kill":
        process.kill()
    elif way == "terminate":
        process.terminate()
    else:
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    process.communicate()


def mesh_of(path):
    """A GLB without its note of the prompt, which says whether the run was resumed."""
    data = path.read_bytes()
    size = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20:20 + size])
    document["asset"].pop("extras", None)
    return document, data[20 + size:]


def pictures_of(path):
    with Image.open(path) as file:
        return [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(file)]


@pytest.mark.slow
@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_interrupted_at_random_moments(workflow, tmp_path):
    began = time.monotonic()
    finish(start(workflow, tmp_path / "whole"))
    whole, cut, rng, moments = time.monotonic() - began, tmp_path / "cut", random.Random(workflow), []
    share = list(WORKFLOWS).index(workflow)
    while len(moments) < KILLS // len(WORKFLOWS) + (share < KILLS % len(WORKFLOWS)):
        process, moment, way = start(workflow, cut, "--resume"), rng.uniform(0.1, 1.0) * whole, rng.choice(WAYS)
        try:
            process.communicate(timeout=moment)
            for file in (cut / "distill3d_states").iterdir():  # it was faster than that: again from the start
                file.unlink()
        except subprocess.TimeoutExpired:
            end(process, way)
            moments.append(f"{way} {moment:.1f} s")
            print(f"{workflow}: {moments[-1]} of {whole:.0f} s", flush=True)
    finish(start(workflow, cut, "--resume"))
    print(f"{workflow}: interrupted {len(moments)} times")

    files = sorted((tmp_path / "whole" / "distill3d_states").iterdir())
    assert [file.name for file in files] == sorted(file.name for file in (cut / "distill3d_states").iterdir())
    for file in files:
        tensors, facts = read_state(cut / "distill3d_states" / file.name)
        expected, same = read_state(file)
        assert facts == same and facts["finished"] and tensors.keys() == expected.keys()
        assert all(tensors[name].equal(tensor) for name, tensor in expected.items())
    written = [path for path in cut.rglob("*") if path.is_file()]
    assert [path for path in written if path.name.startswith(".") or owner_of(path)] == []
    for kind, content in ("glb", mesh_of), ("webp", pictures_of):
        expected, = (tmp_path / "whole").rglob(f"*.{kind}")
        assert content(max(cut.rglob(f"*.{kind}"), key=lambda path: path.name)) == content(expected)
