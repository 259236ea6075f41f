from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.priors.model_condition import ModelCondition, Row, groups, stack


def row(value, length=3, **extras):
    return Row([[torch.full((1, length, 2), float(value)),
                 {"pooled_output": torch.full((1, 2), 10.0 * value), **extras}]])


def test_rows_are_taken_and_joined():
    one, other = row(1), row(2)
    condition = ModelCondition([one, other])
    assert condition.take(torch.tensor([1, 1, 0])).rows == (other, other, one)
    assert condition.join([condition, condition.take(torch.tensor([0]))]).rows == (one, other, one)


def test_a_stack_has_a_row_per_view():
    control = object()
    (embedding, extras), = stack([row(1, strength=0.5, control=control), row(2, strength=0.5, control=control)])
    assert embedding.shape == (2, 3, 2) and embedding[:, 0, 0].tolist() == [1, 2]
    assert extras["pooled_output"][:, 0].tolist() == [10, 20]
    assert extras["strength"] == 0.5 and extras["control"] is control


def test_one_row_for_all_views_is_left_as_it_was_wired():
    shared = row(1)
    assert stack([shared, shared]) is shared.entries


@pytest.mark.parametrize("other", [row(2, length=6), row(2, strength=0.5), row(2, pooled_output=None),
                                   row(2, pooled_output=torch.zeros(2, 2)), Row(row(2).entries * 2)])
def test_what_cannot_be_stacked_is_asked_apart(other):
    one, more = row(1), row(3)
    assert groups([ModelCondition([one, other, more]), ModelCondition([one, one, one])]) == [[0, 2], [1]]


def test_every_condition_is_looked_at():
    conditions = [ModelCondition([row(1), row(2)]), ModelCondition([row(1), row(2, length=6)])]
    assert groups(conditions[:1]) == [[0, 1]] and groups(conditions) == [[0], [1]]


@pytest.mark.parametrize("extras", [
    {"start_percent": 0.5}, {"clip_end_percent": 0.5}, {"hooks": object()},
    {"control": SimpleNamespace(timestep_percent_range=(0.0, 0.5), previous_controlnet=None)},
    {"control": SimpleNamespace(previous_controlnet=SimpleNamespace(timestep_percent_range=(0.5, 1.0)))},
])
def test_what_holds_for_some_noise_levels_is_asked_view_by_view(extras):
    shared = row(1, **extras)
    assert groups([ModelCondition([shared, shared])]) == [[0], [1]]


def test_a_control_for_all_noise_levels_is_not():
    shared = row(1, control=SimpleNamespace(timestep_percent_range=(0.0, 1.0), previous_controlnet=None))
    assert groups([ModelCondition([shared, shared])]) == [[0, 1]]


def test_lerp_mixes_numbers_and_keeps_the_rest():
    ids = torch.tensor([[1, 2]])
    one, other = row(1, ids=ids, strength=0.5, none=None), row(3, ids=ids.clone(), strength=0.5, none=None)
    mixed = ModelCondition([one] * 3).lerp(ModelCondition([other] * 3), torch.tensor([0.0, 0.25, 1.0])).rows
    assert mixed[0] is one and mixed[2] is other  # what was prepared for them is found again
    (embedding, extras), = mixed[1].entries
    assert torch.allclose(embedding, torch.full((1, 3, 2), 1.5))
    assert torch.allclose(extras["pooled_output"], torch.full((1, 2), 15.0))
    assert extras["ids"] is ids and extras["strength"] == 0.5 and extras["none"] is None
    assert one.entries[0][0].max() == 1


@pytest.mark.parametrize("other",
                         [row(3, length=6), row(3, strength=0.5), row(3, pooled_output=None), Row(row(3).entries * 2),
                                   row(3, pooled_output=torch.zeros(1, 2, dtype=torch.int64))])
def test_lerp_refuses_what_differs_in_kind(other):
    with pytest.raises(DistillError, match="cannot be interpolated"):
        row(1).lerp(other, 0.5)


def test_lerp_refuses_other_words():
    with pytest.raises(DistillError, match="cannot be interpolated"):
        row(1, ids=torch.tensor([[1]])).lerp(row(3, ids=torch.tensor([[2]])), 0.5)
