"""Warp starts without a word, and what others write to standard error afterwards is seen."""
import subprocess
import sys

import pytest


def test_it_starts_quietly():
    pytest.importorskip("warp")
    script = ("import sys, torch; from distill3d.kernels import warp_runtime; "
              "print(warp_runtime.unusable(torch.device('cpu'), torch.float32)); sys.stderr.write('still here')")
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (ended.stdout.strip(), ended.stderr) == ("None", "still here")
