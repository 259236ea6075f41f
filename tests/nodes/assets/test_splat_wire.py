from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.assets.core_splat import to_core
from distill3d.nodes.assets.splat_wire import read_core_splat
from distill3d.nodes.comfy import Types
from distill3d.nodes.core.errors import DistillError
from random_splat import random_splat


def core(**changes):
    made = to_core(random_splat(6, degree=1), "Test")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_what_goes_out_comes_in():
    one = random_splat(50, degree=3)
    back = read_core_splat(to_core(one, "Test"), "Test")
    assert all(torch.equal(getattr(back, name), getattr(one, name))
               for name in ("positions", "scales", "opacities", "sh"))
    torch.testing.assert_close(back.rotations, one.rotations, atol=3e-7, rtol=0)


def test_what_comes_in_is_a_copy():
    wire = core()
    read_core_splat(wire, "Test").positions.zero_()
    assert wire.positions.any()


def test_padding_is_left_out():
    assert len(read_core_splat(core(counts=torch.tensor([4])), "Test")) == 4


@pytest.mark.parametrize("name, value, message", [
    ("positions", torch.full((1, 6, 3), torch.nan), "positions of 6 of 6 Gaussians are not finite"),
    ("sh", torch.full((1, 6, 4, 3), torch.inf), "sh of 6 of 6"),
    ("opacities", torch.full((1, 6, 1), 1.5), "opacities range from 1.5 to 1.5; they must lie in 0..1"),
    ("opacities", torch.full((1, 6, 1), -2.0), "Logits"),
    ("scales", torch.full((1, 6, 3), -4.0), "scales reach -4"),
    ("rotations", torch.zeros(1, 6, 4), "length 0"),
    ("rotations", torch.zeros(1, 5, 4), r"rotations \[5, 4\]"),
    ("sh", torch.zeros(1, 6, 5, 3), r"sh \[6, 5, 3\]"),
    ("positions", torch.zeros(2, 6, 3), r"batch of shape \[2, 6, 3\].*Merge Splats"),
    ("positions", torch.zeros(0, 6, 3), "batch of shape"),
    ("counts", torch.tensor([0]), "empty")])
def test_bad_splats_are_named(name, value, message):
    with pytest.raises(DistillError, match=f"^Gaussians: .*{message}"):
        read_core_splat(core(**{name: value}), "Gaussians")


def test_the_class_of_another_pack_is_named():
    with pytest.raises(DistillError, match="holds a types.SimpleNamespace, not the SPLAT of ComfyUI"):
        read_core_splat(SimpleNamespace(xyz=torch.zeros(1, 3)), "Gaussians")


def test_an_older_host_is_told_so(monkeypatch):
    monkeypatch.delattr(Types, "SPLAT")
    with pytest.raises(DistillError, match="Test: this version of ComfyUI has no splats"):
        to_core(random_splat(), "Test")
