"""Wirings of default values differ in nothing from what the priors that ship were trained on."""
import dataclasses

import pytest
import torch

from default_wiring import output, run
from distill3d.nodes.comfy import Host


class Listening(Host):
    def __init__(self, path):
        super().__init__(path)
        self.told = []

    def warn(self, text):
        self.told.append(text)


def priors():
    return {"built-in": (output("BuiltinPrior"), "RandomOrbitViews"),
            "MVDream": (output("MVDreamPrior", model="built-in"), "MultiViewOrbit"),
            "Zero123": (output("Zero123Prior", model="built-in", image=torch.ones(1, 32, 32, 3)), "RandomOrbitViews")}


@pytest.mark.parametrize("name", ["built-in", "MVDream", "Zero123"])
def test_defaults_differ_in_nothing(tmp_path, name):
    host = Listening(tmp_path)
    run(host, *priors()[name][:1], "a red cube", priors()[name][1], steps=1).run()
    assert host.told == []


def test_a_difference_is_told_once_and_before_the_first_step(tmp_path):
    host = Listening(tmp_path)
    one = run(host, output("BuiltinPrior"), "a red cube", steps=1)
    near = dataclasses.replace(one.objectives[0], views=output("RandomOrbitViews", min_distance=1.0, max_distance=1.5))
    one.objectives = (near, dataclasses.replace(near, name="objective1"))
    one.run()
    assert len(host.told) == 1 and "Built-in Prior" in host.told[0] and "too large" in host.told[0]
