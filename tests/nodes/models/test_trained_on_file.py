import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.trained_on import TrainedOn
from distill3d.nodes.models.builtin import BUILTIN_FOLDER, BUILTIN_MVDREAM, BUILTIN_NORMAL_DEPTH, BUILTIN_ZERO123
from distill3d.nodes.models.trained_on_file import FILE, read_trained_on


@pytest.mark.parametrize("folder", [BUILTIN_FOLDER, BUILTIN_MVDREAM, BUILTIN_NORMAL_DEPTH, BUILTIN_ZERO123])
def test_what_ships_says_what_it_was_trained_on(folder):
    found = read_trained_on(folder, "X")
    assert found.pixels == 32 and found.fovy == (40.0, 40.0) and found.guidance and found.view_size


def test_a_folder_without_the_file_and_a_file_of_another_form(tmp_path):
    assert read_trained_on(tmp_path, "X", TrainedOn(8)) == TrainedOn(8)
    (tmp_path / FILE).write_text('{"colour": 3}')
    with pytest.raises(DistillError, match="X: .*colour.*Restore or delete"):
        read_trained_on(tmp_path, "X")
