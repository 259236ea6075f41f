import os
import subprocess
import sys

import pytest
import torch

from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sparsity import Sparsity
from distill3d.nodes.optimize.run_state import fingerprint

PROGRAM = """
from distill3d.nodes.losses.orientation import Orientation
from distill3d.nodes.losses.sparsity import Sparsity
from distill3d.nodes.optimize.run_state import fingerprint
print(fingerprint((Sparsity(), Orientation()), {"b": 1, "a": 2.5}, None, "x", frozenset("abcdef")))
"""


def test_equal_recipes_have_equal_names_in_every_process():
    names = {subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                            capture_output=True, text=True).stdout for seed in ("0", "1", "2")}
    assert len(names) == 1 and len(names.pop().strip()) == 20


def test_every_part_counts():
    base = (Sparsity(), 3, torch.zeros(2))
    names = {fingerprint(*parts) for parts in (
        base, (Sparsity(Schedule.of(2.0)), 3, torch.zeros(2)), (Sparsity(), 4, torch.zeros(2)),
        (Sparsity(), 3, torch.ones(2)), (Sparsity(), 3, torch.zeros(2, dtype=torch.float64)))}
    assert len(names) == 5 and fingerprint(*base) == fingerprint(Sparsity(), 3, torch.zeros(2))


def test_what_has_no_stable_text_is_refused():
    with pytest.raises(TypeError, match="stable"):
        fingerprint(object())
