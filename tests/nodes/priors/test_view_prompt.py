import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prompt import AUTOMATIC, INTERPOLATED, VIEW_WORDINGS, Prompt
from distill3d.nodes.priors.view_prompt import ViewPromptNode


def test_a_prompt_is_what_was_written():
    prompt = ViewPromptNode.execute(" a red cube\n", "ugly ", "degrees", 30.0).args[0]
    assert prompt == Prompt("a red cube", "ugly", "degrees", 30.0)
    assert ViewPromptNode.execute("a red cube").args[0] == Prompt("a red cube", views=AUTOMATIC)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_prompt_is_refused(text):
    with pytest.raises(DistillError, match='"text" is empty'):
        ViewPromptNode.execute(text)


def test_the_menu_offers_every_kind_of_view_words():
    words = next(widget for widget in ViewPromptNode.define_schema().inputs if widget.id == "views")
    assert tuple(words.options["options"]) == VIEW_WORDINGS


def test_interpolated_views_can_be_chosen():
    assert ViewPromptNode.execute("a red cube", views=INTERPOLATED).args[0].is_interpolated
