from pathlib import Path

from distill3d.nodes.comfy.examples import EXAMPLES, place_examples

WEB = Path(__file__).parents[3] / "web"


def test_examples_are_copied_once_and_overwrite_nothing(tmp_path):
    (tmp_path / EXAMPLES[0]).write_text("mine")
    assert place_examples(tmp_path) == list(EXAMPLES[1:]) and place_examples(tmp_path) == []
    assert (tmp_path / EXAMPLES[0]).read_text() == "mine"
    assert (tmp_path / EXAMPLES[1]).read_bytes() == (WEB / EXAMPLES[1]).read_bytes()


def test_a_folder_that_cannot_be_made_is_logged(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert place_examples(tmp_path / "file" / "input") == [] and "could not be copied" in caplog.text
