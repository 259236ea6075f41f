from dataclasses import replace

import numpy as np
import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.train.prior_trainer import PriorRecipe, PriorTrainer

RECIPE = PriorRecipe(steps=5, batch=4, channels=(16, 32), warmup=2, reading_steps=3)


def test_learning_rate_follows_the_budget():
    recipe = PriorRecipe()
    assert recipe.learning_rate(0, 0.0) == pytest.approx(1e-5)
    assert recipe.learning_rate(99, 0.1) == recipe.learning_rate(5000, 0.6) == pytest.approx(1e-3)
    assert recipe.learning_rate(5000, 0.8) == pytest.approx(5e-4)
    assert recipe.learning_rate(5000, 1.0) == recipe.learning_rate(5000, 1.2) == pytest.approx(2e-5)
    assert recipe.progress(10, 45 * 60) == pytest.approx(0.5)
    assert replace(recipe, steps=40).progress(10, 0) == 0.25


def test_training_learns_one_image(data):
    one = type(data)(*(column[:1] for column in data))
    trainer = PriorTrainer(one, replace(RECIPE, batch=8, warmup=1))
    losses = [trainer.train_step(0.0) for _ in range(25)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_variance_channels_are_never_trained(data):
    trainer = PriorTrainer(data, RECIPE)
    before = trainer.model["unet"].conv_out.weight[:3].clone()
    for _ in range(3):
        trainer.train_step(0.0)
    last = trainer.model["unet"].conv_out
    assert bool((last.weight[3:] == 0).all()) and bool((last.bias[3:] == -1).all())
    assert not torch.equal(last.weight[:3], before)


def test_prompts_are_dropped_and_varied(data):
    trainer = PriorTrainer(data, RECIPE)
    rng = np.random.default_rng(0)
    prompts = [trainer._prompt(rng, 3) for _ in range(2000)]
    caption = str(data.captions[3])
    share = lambda test: sum(map(test, prompts)) / len(prompts)
    assert share(lambda p: p == "") == pytest.approx(0.1, abs=0.03)
    assert share(lambda p: p == caption) == pytest.approx(0.05, abs=0.02)
    assert share(lambda p: p.endswith("view")) == pytest.approx(0.2, abs=0.04)
    assert share(lambda p: " az" in p) == pytest.approx(0.65, abs=0.04)


def test_timesteps_are_drawn_as_often_as_they_count(data):
    """All alike but for those with little noise, which count 6 / (1 + SNR)."""
    trainer = PriorTrainer(data, RECIPE)
    abar = trainer.signal.double() ** 2
    for t in (1, 100, 200, 400, 700, 999):
        wanted = min(1.0, 6 * float(1 - abar[t]))
        assert float(trainer.density[t]) == pytest.approx(wanted, rel=1e-3)
    assert float(trainer.density[1]) < 0.01 and float(trainer.density[999]) == 1


def test_the_strongest_noise_is_drawn_more_often_at_first():
    recipe = PriorRecipe(decay_from=0.5, start_boost=6.0)
    assert [recipe.boost(fraction) for fraction in (0.0, 0.25, 0.5, 0.9)] == pytest.approx([6.0, 3.5, 1.0, 1.0])


def test_the_target_is_the_velocity(data):
    """v = alpha noise - sigma x. For grey pictures (x = 0) under the strongest noise (alpha = 0) it is 0, the noise is
    not."""
    trainer = PriorTrainer(data, RECIPE)
    for parameter in trainer.model["unet"].conv_out.parameters():
        parameter.data.zero_()
    trainer.data = data._replace(images=np.full_like(data.images, 128))
    trainer.density = torch.zeros_like(trainer.density)
    trainer.density[999] = 1.0
    assert trainer.train_step(1.0) < 1e-4
    trainer.density[999], trainer.density[0] = 0.0, 1.0  # and with next to no noise it is the noise
    for parameter in trainer.model["unet"].conv_out.parameters():
        parameter.data.zero_()
    assert trainer.train_step(1.0) == pytest.approx(1.0, abs=0.2)


def test_checkpoint_of_another_network_is_refused(data, tmp_path):
    path = str(tmp_path / "state.pt")
    PriorTrainer(data, RECIPE).save(path)
    with pytest.raises(ValueError, match="seed = 0"):
        PriorTrainer(data, replace(RECIPE, seed=1)).load(path)


@pytest.mark.parametrize("spoil", [
    lambda state: [], lambda state: {**state, "recipe": 3}, lambda state: {**state, "optimizer": {}},
    lambda state: {**state, "seconds": float("nan")}, lambda state: {**state, "step": -1},
    lambda state: {key: value for key, value in state.items() if key != "average"},
    lambda state: {**state, "model": {"a": 3}},
    lambda state: {**state, "optimizer": {"state": {0: {"step": torch.zeros(()), "exp_avg": torch.zeros(1),
                                                        "exp_avg_sq": torch.zeros(1)}}}}])
def test_damaged_states_are_refused(data, tmp_path, spoil):
    path = str(tmp_path / "state.pt")
    trainer = PriorTrainer(data, RECIPE)
    trainer.save(path)
    torch.save(spoil(torch.load(path, weights_only=True)), path)
    with pytest.raises(DistillError, match="the checkpoint .*state.pt"):
        trainer.load(path)


def test_seeding_leaves_the_global_generator_alone(data):
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    PriorTrainer(data, RECIPE).train_step(0.0)
    assert torch.equal(torch.rand(1), wanted)


def test_state_that_is_cut_off_is_refused(data, tmp_path):
    path = tmp_path / "state.pt"
    trainer = PriorTrainer(data, RECIPE)
    trainer.save(str(path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DistillError, match="state.pt cannot be read"):
        trainer.load(str(path))
