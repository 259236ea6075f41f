import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.train.score_model import (
    OBJECTIVES,
    Ring,
    ScoreRecipe,
    langevin_samples,
    score_error,
    score_loss,
    train_score_model,
)
from distill3d.nodes.train.score_panel import GAP, SIDE, field_picture, grid_points, histogram, score_panels
from distill3d.nodes.train.train_score_model import TrainScoreModelNode


def test_score_of_the_ring_is_the_gradient_of_its_density():
    ring, x = Ring(3), torch.randn(5, 2).double().requires_grad_()
    squared = (x[:, None] - ring.means.double()).square().sum(2) / (ring.deviation**2 + 0.2**2)
    density = (ring.weights.double().log() - 0.5 * squared).logsumexp(1)
    assert torch.allclose(ring.score(x.detach().float(), 0.2).double(), torch.autograd.grad(density.sum(), x)[0],
                          atol=1e-5)
    drawn = ring.sample(40_000, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.mean(0), (ring.weights[:, None] * ring.means).sum(0) / 6, atol=0.02)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_is_least_at_the_known_score(objective):
    ring, recipe = Ring(), ScoreRecipe(objective, batch=20_000)
    x = ring.sample(recipe.batch, torch.Generator().manual_seed(0))

    def loss(change):
        return float(score_loss(lambda y: change(ring.score(y, recipe.blur)), x, recipe,
                                torch.Generator().manual_seed(1)).detach())

    least = loss(lambda s: s)
    assert least < min(loss(lambda s: 0.8 * s), loss(lambda s: 1.2 * s), loss(lambda s: s + 0.3))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_short_run_approaches_the_known_score(objective):
    ring, recipe = Ring(), ScoreRecipe(objective, steps=400, batch=256)
    network = train_score_model(ring, recipe)
    assert score_error(network, ring, recipe.blur) < 0.3
    again = train_score_model(ring, recipe)
    assert all(torch.equal(one, other) for one, other in zip(network.parameters(), again.parameters()))


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_known_score_is_found_within_five_percent(objective):
    recipe = ScoreRecipe(objective)
    assert score_error(train_score_model(Ring(), recipe), Ring(), recipe.blur) < 0.05


def test_langevin_samples_of_the_known_score_are_the_mixture():
    ring = Ring(deviation=0.7)
    drawn, true = langevin_samples(ring.score, 20_000, 3.0), ring.sample(20_000, torch.Generator().manual_seed(5))
    assert torch.allclose(drawn.mean(0), true.mean(0), atol=0.05)
    assert torch.allclose(torch.cov(drawn.T), torch.cov(true.T), atol=0.08)


def test_pictures():
    points = grid_points(4, 2.0)
    assert points[0].tolist() == [-1.5, 1.5] and points[-1].tolist() == [1.5, -1.5]
    colors = field_picture(torch.tensor([[0.0, 0.0], [9.0, 0.0], [-9.0, 0.0]]), 1.0)
    assert torch.allclose(colors[0], torch.ones(3))
    assert torch.allclose(colors[1], torch.tensor([1, 0.25, 0.25]), atol=1e-4)
    assert float(colors[2, 0]) < 1e-4
    grey = histogram(torch.tensor([[-1.9, 1.9], [-1.8, 1.8], [1.9, -1.9], [9.0, 0.0]]), 4, 2.0)
    assert grey[0, 0, 0] == 0 and grey[3, 3, 0] == 0.5 and float(grey.sum()) == 3 * (14 + 0.5)
    ring = Ring()
    panels = score_panels(ring.score, ring, 0.0)
    assert panels.shape == (SIDE, 5 * SIDE + 4 * GAP, 3)
    assert torch.equal(panels[:, :SIDE], panels[:, SIDE + GAP:2 * SIDE + GAP]), "the known score is learned exactly"
    assert float(panels[:, 2 * (SIDE + GAP):3 * SIDE + 2 * GAP].amin()) == 1


def test_node_trains_inside_inference_mode_and_refuses():
    with torch.inference_mode():
        panels, error, report = TrainScoreModelNode.execute("sliced", steps=20, batch=64).args
    assert panels.shape[0] == 1 and 0 < error < 2 and "sliced" in report
    with pytest.raises(DistillError, match="at least 1 mode"):
        Ring(0)
    with pytest.raises(DistillError, match="explicit, sliced, denoising"):
        train_score_model(Ring(), ScoreRecipe("implicit"))
