"""Pretraining of the text encoder on the facts of captions."""

import numpy as np
import torch

from distill3d.kernels.shapes.sdf import PRIMITIVES
from distill3d.nodes.shapes.caption import COLORS, sample_shape
from distill3d.nodes.train.caption_reading import Facts, caption_facts, learn_to_read, reading_loss
from distill3d.nodes.train.if_layout import build_text_encoder, build_tokenizer, encode_text


def test_facts_of_a_pile_a_nose_and_a_single_shape():
    captions = ["a red cube on top of a blue torus", "an orange sphere with a cyan nose", "a dotted pink capsule"]
    facts = caption_facts(captions, np.array([0.0, 90.0, 180.0]), np.array([0.0, 30.0, -30.0]))
    color, primitive = list(COLORS).index, PRIMITIVES.index
    assert facts.classes.tolist() == [
        [color("red"), primitive("cube"), 0, 0, color("blue"), primitive("torus"), 0, 0],
        [color("orange"), primitive("sphere"), 0, 0, color("cyan"), primitive("cone"), 0, 1],
        [color("pink"), primitive("capsule"), 2, 0, len(COLORS), len(PRIMITIVES), 0, 0],
    ]
    # Cosines of one, two and four times the azimuth, their sines, the elevation in radians.
    wanted = [[1, 1, 1, 0, 0, 0, 0], [0, -1, 1, 1, 0, 0, np.pi / 6], [-1, 1, 1, 0, 0, 0, -np.pi / 6]]
    assert torch.allclose(facts.view, torch.tensor(wanted, dtype=torch.float32), atol=1e-6)


def test_the_loss_vanishes_for_true_predictions():
    facts = caption_facts(["a red cube on top of a blue torus"], np.array([45.0]), np.array([10.0]))
    sizes = (9, 7, 3, 2) * 2
    said = torch.cat([30.0 * torch.nn.functional.one_hot(fact, size) for fact, size in zip(facts.classes[0], sizes)])
    said = torch.cat([said, facts.view[0]]).expand(1, 4, -1)
    assert reading_loss(said, facts) < 1e-5
    other = caption_facts(["a blue torus on top of a red cube"], np.array([45.0]), np.array([10.0]))
    assert reading_loss(said, other) > 10
    assert reading_loss(said, Facts(facts.classes, -facts.view)) > 0.5


def test_the_text_encoder_learns_the_facts():
    rng = np.random.default_rng(0)
    shapes = [shape for shape in (sample_shape(rng) for _ in range(300)) if " on top of " in shape.caption]
    captions, zeros = [shape.caption for shape in shapes], np.zeros(len(shapes))
    torch.manual_seed(0)
    losses = []
    encoder, tokenizer = build_text_encoder(), build_tokenizer()
    learn_to_read(encoder, lambda texts: encode_text(encoder, tokenizer, texts), caption_facts(captions, zeros, zeros),
                  lambda rng, row: captions[row], 200, seed=0, batch=16,
                  callback=lambda step, steps, loss: losses.append(loss))
    # Below what is left when a bag of words is all that is understood: which of two colours, which of two primitives.
    assert losses[0] > 8 and np.mean(losses[-20:]) < 2.5 < 4 * np.log(2)


def test_the_same_seed_gives_the_same_text_encoder():
    facts = caption_facts(["a red cube", "a blue cone"], np.zeros(2), np.zeros(2))
    weights = []
    for _ in range(2):
        torch.manual_seed(1)
        encoder = build_text_encoder()
        seen = []
        learn_to_read(encoder, lambda texts: encode_text(encoder, build_tokenizer(), texts), facts,
                      lambda rng, row: ["a red cube", "a blue cone"][row], 3, seed=4,
                      callback=lambda step, steps, loss: seen.append((step, steps)), batch=4)
        assert seen == [(1, 3), (2, 3), (3, 3)]
        weights.append(torch.cat([parameter.flatten() for parameter in encoder.parameters()]))
    assert torch.equal(*weights)
