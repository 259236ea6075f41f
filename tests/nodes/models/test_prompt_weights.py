"""Prompts with weights and of any length, as ComfyUI reads them."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill3d.nodes.models.prompt_weights import plain, weighted_pieces, windows

COMFYUI = os.environ.get("COMFYUI_DIR")


@pytest.mark.parametrize("text, pieces", [
    ("a cube", [("a cube", 1.0)]), ("", []), ("a (red) cube", [("a ", 1.0), ("red", 1.1), (" cube", 1.0)]),
    ("a (red:1.3) cube", [("a ", 1.0), ("red", 1.3), (" cube", 1.0)]),
    ("((red))", [("red", 1.1 * 1.1)]), ("((red:0.5) cube:2)", [("red", 0.5), (" cube", 2.0)]),
    ("(a: b)", [("a: b", 1.1)]), ("(red:nan)", [("red:nan", 1.1)]), ("(red:-1)", [("red", -1.0)]),
    ("a \\(red\\) cube", [("a (red) cube", 1.0)]), ("(a \\(b\\):2)", [("a (b)", 2.0)]),
    ("a (red", [("a (red", 1.0)]), ("a red) cube", [("a red) cube", 1.0)]), (":( (sad)", [(":( ", 1.0), ("sad", 1.1)]),
    ("()", [])])
def test_pieces_and_their_weights(text, pieces):
    found = weighted_pieces(text)
    assert [piece for piece, _ in found] == [piece for piece, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])
    assert plain(text) == "".join(piece for piece, _ in pieces)


@pytest.mark.parametrize("text",
                         ["(" * 20_000 + ")" * 20_000, "()" * 50_000, "(" * 100_000, "(a:" * 5_000 + ")" * 5_000])
def test_many_brackets_take_no_time(text):
    began = time.monotonic()
    weighted_pieces(text)
    assert time.monotonic() - began < 5


def test_windows():
    assert windows([], 6, 8, 9, 0) == [[(8, 1.0), (9, 1.0), *[(0, 1.0)] * 4]]
    whole = windows([(range(10, 20), 2.0)], 6, 8, 9, 0)
    assert [[number for number, _ in row] for row in whole] == [
        [8, 10, 11, 12, 13, 9], [8, 14, 15, 16, 17, 9], [8, 18, 19, 9, 0, 0]]
    assert whole[2][1:4] == [(18, 2.0), (19, 2.0), (9, 1.0)]
    # A short piece stays together.
    two = windows([((10, 11, 12), 1.0), ((13, 14), 1.0)], 6, 8, 9, 0)
    assert [[number for number, _ in row] for row in two] == [[8, 10, 11, 12, 9, 0], [8, 13, 14, 9, 0, 0]]


@pytest.mark.skipif(not COMFYUI, reason="set COMFYUI_DIR to a checkout of ComfyUI to test inside it")
def test_texts_are_those_of_comfyui():
    script = Path(__file__).with_name("comfyui_measure_prompts.py")
    run = subprocess.run([os.environ.get("COMFYUI_PYTHON", sys.executable), str(script), "--cpu"], cwd=COMFYUI,
                         capture_output=True, text=True, timeout=300,
                         env={**os.environ, "PYTHONPATH": str(COMFYUI), "PYTHONDONTWRITEBYTECODE": "1"})
    lines = [line for line in run.stdout.splitlines() if line.startswith("MEASURED ")]
    assert run.returncode == 0 and lines, run.stderr[-3000:]
    for text, (is_same, gap, pooled) in json.loads(lines[-1].removeprefix("MEASURED ")).items():
        assert is_same and gap < 1e-5 and pooled < 1e-5, text
