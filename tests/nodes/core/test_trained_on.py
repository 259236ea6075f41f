import pytest

from distill3d.nodes.cameras.random_orbit_views import RandomOrbitViews
from distill3d.nodes.core.prompt import AUTOMATIC, INTERPOLATED, VIEW_WORDINGS, Prompt
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.trained_on import TrainedOn

FACTS = TrainedOn(32, fovy=(40.0, 40.0), view_size=(1.1, 1.2), elevation=(-30.0, 60.0), centred=True,
                  view_words=("degrees", VIEW_WORDINGS[0]), guidance=(3.0, 5.0))
GOOD = {"min_distance": 3.1, "max_distance": 3.3, "max_fovy": 40.0, "min_elevation": -30.0, "max_elevation": 60.0,
        "position_jitter": 0.0, "target_jitter": 0.0, "up_jitter": 0.0}


def told(facts=FACTS, side=32, words="degrees", guidance=4.0, **views):
    cameras = RandomOrbitViews(**{**GOOD, **views}).sample(32, side, side, 0, 1, Streams(0, 0))
    return facts.differences("X", cameras, side, Prompt("a cat", views=words), guidance)


def test_a_wiring_like_the_training_differs_in_nothing():
    assert told() == told(words=AUTOMATIC) == told(side=512) == told(guidance=None) == []


@pytest.mark.parametrize("change, words", [
    ({"min_distance": 1.0, "max_distance": 1.5}, "look too large to it. With a field of view of 40 degrees, set the "
                                                 "distance to 3.02 to 3.3"),
    ({"min_distance": 8.0, "max_distance": 8.0}, "look too small"),
    ({"max_fovy": 70.0}, "trained on 40"),
    ({"max_elevation": 90.0, "by_angle": 1.0}, "trained on -30 to 60"),
    ({"target_jitter": 0.2}, "centre"),
    ({"side": 16}, "to 32 or more"),
    ({"words": "none"}, '"degrees"'),
    ({"words": INTERPOLATED}, '"degrees"'),
    ({"guidance": 101.0}, "3 to 5"),
    ({"guidance": 1.0}, "3 to 5"),
])
def test_each_difference_is_named_with_what_to_set(change, words):
    texts = told(**change)
    assert any(words in text for text in texts) and all(text.startswith("X: ") for text in texts)


def test_a_prior_that_says_nothing_warns_of_nothing():
    assert told(TrainedOn(), min_distance=0.5, max_distance=0.5, guidance=500.0, words="none", side=8) == []


def test_the_prior_chooses_automatic_words():
    prompt = Prompt("a cat", views=AUTOMATIC)
    assert prompt.for_words(("degrees", "none")).views == "degrees"
    assert prompt.for_words(()).views == VIEW_WORDINGS[0]
    assert Prompt("a cat", views="none").for_words(("degrees",)).views == "none"
    assert prompt.of_view(0, 0) == "a cat, front view"  # where no prior is asked


def test_reading():
    facts = {"pixels": 32, "fovy": [40.0, 50.0], "view_words": ["none"]}
    assert TrainedOn.read(facts) == TrainedOn(32, fovy=(40.0, 50.0), view_words=("none",))
    with pytest.raises(TypeError, match="size"):
        TrainedOn.read({"size": 3})
