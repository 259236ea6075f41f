from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch.nn import Conv2d

from distill3d.nodes.optimize.fingerprint import fingerprint
from distill3d.nodes.priors.model_content import Sockets
from distill3d.nodes.priors.model_prior import ModelPriorRecipe

Kept = namedtuple("Kept", "weight")


def model(seed=0, strength=1.0, backup=False, **options):
    """What Sockets looks at in a MODEL."""
    torch.manual_seed(seed)
    net = Conv2d(3, 8, 3)
    patches = {"weight": [(strength, SimpleNamespace(loaded_keys=set(), weights=(torch.ones(2, 2),)), 1.0, None, None)]}
    kept = {}
    if backup:
        kept = {"weight": Kept(net.weight.detach().clone())}
        net.weight.data += 1
    return SimpleNamespace(model=net, patches=patches, object_patches={},
                           model_options={"transformer_options": {}, **options}, backup=kept, hook_patches={})


def text(**objects):
    return repr(Sockets(**objects))


def test_equal_content_has_one_name_and_a_recipe_can_be_a_part_of_a_run():
    assert text(model=model()) == text(model=model())
    recipes = [ModelPriorRecipe(Sockets(model=model(), clip=None)) for _ in range(2)]
    assert recipes[0] != recipes[1] and len({*recipes, recipes[0]}) == 2
    assert fingerprint(recipes[0]) == fingerprint(recipes[1]) != fingerprint(
        ModelPriorRecipe(Sockets(model=model(1), clip=None)))


@pytest.mark.parametrize("other", [{"seed": 1}, {"strength": 0.5}, {"cfg": 2.0}])
def test_other_content_has_another_name(other):
    assert text(model=model()) != text(model=model(**other))


def test_a_patched_weight_counts_as_it_was():
    assert text(model=model()) == text(model=model(backup=True))


def test_conditionings_count_by_their_numbers():
    wired = [[torch.ones(1, 2, 3), {"pooled_output": None, "strength": 1.0}]]
    assert text(positive=wired) == text(positive=[[torch.ones(1, 2, 3), {"pooled_output": None, "strength": 1.0}]])
    assert text(positive=wired) != text(positive=[[torch.zeros(1, 2, 3), {"pooled_output": None, "strength": 1.0}]])
    assert text(positive=wired, negative=None) != text(positive=None, negative=wired)


@pytest.mark.parametrize("unknown", [{"wrapper": lambda: 0}, {"wrapper": object()}, {(lambda: 0): 1}])
def test_what_cannot_be_read_names_the_object_alone(unknown):
    sockets = Sockets(model=model(**{"options": unknown}))
    assert repr(sockets) == repr(sockets) != repr(Sockets(model=model(**{"options": unknown})))
    assert " at 0x" not in repr(sockets) and fingerprint(ModelPriorRecipe(sockets))


def test_half_precision_weights_are_read():
    net = model()
    net.model.to(torch.bfloat16)
    assert "unreadable" not in text(model=net)
