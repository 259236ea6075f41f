from dataclasses import replace

import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.pictures import Pictures, orbit_camera
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.clip import CLIPLossNode, CLIPSimilarity
from distill3d.nodes.losses.feature import FeatureLossNode, Features
from distill3d.nodes.losses.tower_view import tower_views, wanted_for
from distill3d.nodes.losses.transmittance import Transmittance, TransmittanceLossNode
from looks import look_at
from tiny_clip import ColorTower, Given, tiny_tower

CPU = torch.device("cpu")
RED = Prompt("a red cube", views="none")


def cameras(count=2, size=8):
    return orbit(torch.arange(count) * 0.5, 0.3, 3.2, 0.7, size, size)


def rendering(rgb, opacity=None, count=2, size=8):
    opacity = torch.ones(count, size, size, 1) if opacity is None else opacity
    background = torch.ones(count, size, size, 3)
    rgb = torch.as_tensor(rgb).expand(count, size, size, 3)
    return Rendering(rgb=rgb * opacity + (1 - opacity) * background, opacity=opacity, background=background)


def prepared(loss):
    return loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))


def test_clip_loss_is_the_weighted_distance_from_the_prompt():
    loss = prepared(CLIPSimilarity(Given(ColorTower()), RED, crops=3, weight=Schedule.of(2.0)))
    right = loss(look_at(rendering([1.0, 0.1, 0.1]), cameras()))
    wrong = loss(look_at(rendering([0.1, 0.1, 1.0]), cameras()))
    assert float(right.value) == pytest.approx(0, abs=1e-5) and float(right.log["similarity"]) == pytest.approx(1)
    cosine = (0.1 + 0.01 + 0.1) / 1.02
    assert float(wrong.value) == pytest.approx(2 * (1 - cosine), rel=1e-4)


def test_clip_loss_paints_a_picture_that_the_tower_calls_red(tmp_path):
    tower = tiny_tower(tmp_path / "clip")
    loss = prepared(CLIPSimilarity(Given(tower), RED, crops=0))
    rgb = torch.full((2, 8, 8, 3), 0.5, requires_grad=True)
    optimizer, found = torch.optim.Adam([rgb], lr=0.05), []
    for _ in range(20):
        term = loss(look_at(rendering(rgb), cameras()))
        optimizer.zero_grad()
        term.value.backward()
        optimizer.step()
        found.append(term.value.item())
    assert found[-1] < found[0] - 0.08


def test_random_textures_stand_behind_the_object_only():
    opacity = torch.zeros(2, 8, 8, 1)
    opacity[:, 2:6, 2:6] = 1
    look = look_at(rendering([0.2, 0.4, 0.6], opacity), cameras())
    views = tower_views(look, "rgb", "random textures", 2, 1.0, 1.0, "Test")
    assert views.shape == (4, 8, 8, 3)
    assert torch.allclose(views[:, 3:5, 3:5], torch.tensor([0.2, 0.4, 0.6]), atol=1e-5)
    assert float((views[:, 0] - 1).abs().amax()) > 0.1 and not torch.allclose(views[0], views[2])
    assert torch.equal(views, tower_views(replace(look, streams=Streams(0, 0)), "rgb", "random textures", 2,
                                          1.0, 1.0, "Test")), "same step, same views"
    assert "background" in wanted_for("rgb", "random textures") and "background" not in wanted_for("rgb", "scene")
    look.rendering.background = None
    with pytest.raises(DistillError, match='"scene"'):
        tower_views(look, "rgb", "random textures", 2, 1.0, 1.0, "Test")


def test_feature_loss_compares_from_anywhere_or_place_by_place():
    picture = torch.rand(1, 8, 8, 3)
    pose = orbit_camera("Test", 15.0, 0.0, 3.2, 40.0, 8)
    reference = Pictures(pose, picture, torch.ones(1, 8, 8, 1))
    loss = prepared(Features(Given(ColorTower()), reference))
    mean = picture.mean((0, 1, 2))
    assert float(loss(look_at(rendering(mean), cameras())).value) == pytest.approx(0, abs=1e-4)
    tokens = prepared(Features(Given(ColorTower()), reference, "all tokens"))
    same = Rendering(rgb=picture, opacity=torch.ones(1, 8, 8, 1), background=torch.ones(1, 8, 8, 3))
    assert float(tokens(look_at(same, pose)).value) == pytest.approx(0, abs=1e-4)
    other = Rendering(rgb=picture.flip(2), opacity=torch.ones(1, 8, 8, 1), background=torch.ones(1, 8, 8, 3))
    assert float(tokens(look_at(other, pose)).value) > 0.02
    with pytest.raises(DistillError, match="cameras of the pictures"):
        tokens(look_at(rendering(mean), cameras()))


def test_transmittance_stops_at_its_target():
    opacity = torch.full((2, 8, 8, 1), 0.4, requires_grad=True)
    term = prepared(Transmittance(Schedule.of(0.9), Schedule.of(0.5)))(look_at(Rendering(opacity=opacity)))
    assert float(term.value) == pytest.approx(-0.5 * 0.6)
    term.value.backward()
    assert float(opacity.grad.amin()) > 0
    reached = prepared(Transmittance(Schedule.of(0.5)))(look_at(Rendering(opacity=opacity)))
    assert float(reached.log["value"]) == pytest.approx(-0.5)


def test_nodes_chain_and_refuse():
    first = TransmittanceLossNode.execute(0.8).args[0]
    chain = CLIPLossNode.execute(Given(ColorTower()), RED, losses=first).args[0]
    assert [loss.name for loss in chain] == ["transmittance", "clip"]
    assert FeatureLossNode.execute(Given(ColorTower()), None, losses=chain).args[0][-1].name == "feature"
    with pytest.raises(DistillError, match="smallest_crop"):
        CLIPLossNode.execute(None, RED, smallest_crop=1.0, largest_crop=0.5)
    blind = ColorTower()
    blind.has_text = False
    with pytest.raises(DistillError, match="no text encoder"):
        prepared(CLIPSimilarity(Given(blind), RED))
