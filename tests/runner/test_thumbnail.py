"""Every workflow has a picture in the template browser; a drawn one says so."""
import pytest
from PIL import Image

from distill3d.runner import listing, sync, thumbnail
from distill3d.workflows.order import TITLES, name_of, title_of


@pytest.mark.parametrize("name", sync.methods())
def test_every_workflow_has_a_name_and_a_picture(name):
    assert name in TITLES and name_of(title_of(name)) == name
    with Image.open(listing.shipped_workflows()[name].with_suffix(".jpg")) as picture:
        assert min(picture.size) >= 200


def test_drawn_pictures_show_the_stages_and_results_are_kept(tmp_path):
    given, stages = thumbnail.rows(sync.methods()["magic3d"])
    assert given == ["Builtin Prior", "View Prompt"]
    assert stages == ["Coarse: a volume", "Refine on tetrahedra", "Bake and save"]
    result = tmp_path / f'{title_of("dreamfusion")}.jpg'
    Image.new("RGB", (300, 300), "red").save(result)
    before = result.read_bytes()
    written = thumbnail.write(tmp_path)
    assert result not in written and result.read_bytes() == before and len(written) == len(sync.methods()) - 1
    assert thumbnail.write(tmp_path) == written  # drawn ones are drawn anew


def test_names_are_in_order_and_files_on_every_system():
    assert list(TITLES.values()) == sorted(TITLES.values(), key=lambda title: title[0])
    assert not [title for title in TITLES.values() if set(title) & set('<>:"/\\|?*#%')]
