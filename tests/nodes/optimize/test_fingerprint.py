"""The name of a run: what counts in it and what does not."""
import dataclasses
import os
import subprocess
import sys

import pytest
import torch

from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sparsity import Sparsity
from distill3d.nodes.optimize.fingerprint import fingerprint
from image_scene import picture_recipe

PROGRAM = """
from distill3d.nodes.losses.orientation import Orientation
from distill3d.nodes.losses.sparsity import Sparsity
from distill3d.nodes.optimize.fingerprint import fingerprint
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


def _recipe(**appended):
    """A class of the same name in each call, as before and after an update."""
    namespace = {"__annotations__": {"weight": float, **{name: type(value) for name, value in appended.items()}},
                 "weight": 1.0, **appended}
    return dataclasses.dataclass(frozen=True)(type("Recipe", (), namespace))


def test_fields_at_their_defaults_do_not_count():
    before, after = _recipe(), _recipe(sharpness=2.0, kind="plain")
    assert fingerprint(before()) == fingerprint(after()) == fingerprint(after(1, 2))
    assert fingerprint(before(3.0)) == fingerprint(after(3.0)) != fingerprint(before())
    assert len({fingerprint(after()), fingerprint(after(sharpness=3.0)), fingerprint(after(kind="other"))}) == 3


def test_a_default_that_is_made_counts_like_one_that_is_written():
    @dataclasses.dataclass(frozen=True)
    class Holder:
        inner: Sparsity = dataclasses.field(default_factory=Sparsity)
        seen: torch.Tensor | None = None

    assert fingerprint(Holder()) == fingerprint(Holder(Sparsity())) != fingerprint(Holder(Sparsity(Schedule.of(2.0))))
    assert fingerprint(Holder(seen=torch.zeros(2))) != fingerprint(Holder())


def test_the_class_counts_and_not_its_module():
    here = _recipe()
    there = _recipe()
    there.__module__ = "elsewhere"
    named = dataclasses.dataclass(frozen=True)(type("Other", (), {"__annotations__": {"weight": float}, "weight": 1.0}))
    assert fingerprint(here()) == fingerprint(there()) != fingerprint(named())


def test_notes_and_backend_do_not_count():
    recipe = picture_recipe()
    assert fingerprint(recipe) == fingerprint(dataclasses.replace(recipe, notes={"opacity": 0.3}, backend="torch"))
    assert fingerprint(recipe) != fingerprint(dataclasses.replace(recipe, seed=1))
