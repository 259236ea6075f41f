"""The shipped DreamFusion workflow in a separate process, on the CPU, from the command line."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill3d.nodes.core.state import read_state

TEXT = "a blue sphere on top of a green cylinder"


def command(output, *options, steps=40):
    # Small exports: what is tested here is the way, not the picture.
    sizes = ["--set", "Extract Mesh.resolution=64", "--set", "Bake Texture.texture_size=256",
             "--set", "Unwrap UV.texture_size=256", "--set", "Turntable.frames=4", "--set", "Turntable.size=64"]
    return [sys.executable, "-m", "distill3d", "run", "dreamfusion", "--set", f"prompt={TEXT}", "--set",
            f"Optimize.steps={steps}", "--output", str(output), "--device", "cpu", *sizes, *options]


def run(output, *options, steps=40):
    done = subprocess.run(command(output, *options, steps=steps), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def state_of(output) -> Path:
    file, = (Path(output) / "distill3d_states").glob("*.safetensors")
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    return output, run(output)


def test_it_leaves_a_textured_mesh_a_turntable_and_a_picture(whole):
    import trimesh

    output, done = whole
    glb, = (output / "distill3d").glob("dreamfusion_*.glb")
    assert {path.suffix for path in (output / "distill3d").iterdir()} == {".glb", ".webp", ".png"}
    assert str(glb) in done.stdout + done.stderr
    mesh = trimesh.load(glb, force="mesh", process=False)
    assert mesh.visual.material.baseColorTexture is not None
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight and mesh.volume > 0
    low, high = mesh.bounds
    assert high[1] - low[1] > max(high[0] - low[0], high[2] - low[2])  # the pile stands along +Y
    assert "Traceback" not in done.stderr


def test_same_seed_gives_the_same_bytes(whole, tmp_path):
    run(tmp_path)
    assert state_of(tmp_path).read_bytes() == state_of(whole[0]).read_bytes()


def test_killed_and_resumed_equals_uninterrupted(whole, tmp_path):
    often = ("--set", "Optimize.save_every=0.0001")
    process = subprocess.Popen(command(tmp_path, *often), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        files = list((tmp_path / "distill3d_states").glob("*.safetensors"))
        if files and 8 <= read_state(files[0])[1]["step"] < 40:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    assert process.wait(timeout=60) == -signal.SIGKILL, "the run ended before it could be killed"
    assert not read_state(state_of(tmp_path))[1]["finished"]
    done = run(tmp_path, *often, "--resume")
    assert "resumed at step" in done.stderr + done.stdout
    resumed, uninterrupted = read_state(state_of(tmp_path)), read_state(state_of(whole[0]))
    assert resumed[1]["finished"] and resumed[1]["step"] == 40
    assert all((resumed[0][name] == tensor).all() for name, tensor in uninterrupted[0].items())
