"""Names that are empty are said to be empty, wherever a person writes one."""
import pytest

from distill3d.nodes.comfy import Host, host, set_host
from distill3d.nodes.core.errors import DistillError, first_line
from distill3d.nodes.export.load_mesh import LoadMeshNode
from distill3d.nodes.models.model_files import locate
from distill3d.nodes.optimize.save_state import load_scene


@pytest.fixture(autouse=True)
def own_host(tmp_path):
    set_host(Host(tmp_path, "cpu"))
    yield
    set_host(None)


@pytest.mark.parametrize("name", ["", "  "])
@pytest.mark.parametrize("use", [lambda name: host().save_path(name, "glb"),
                                 lambda name: host().save_path(f"folder/{name}", "glb"),
                                 lambda name: load_scene(None, name), lambda name: LoadMeshNode.execute(name),
                                 lambda name: locate(name, "MVDream Prior", "diffusers")])
def test_an_empty_name(use, name):
    with pytest.raises(DistillError, match=r"^[A-Z].*: the .*name is empty\. \w+"):
        use(name)


@pytest.mark.parametrize("text, line", [
    ("\n a \x1b[31mred\x1b[0m word.\nand more", "a red word"), ("", "ValueError"), ("x" * 1000, "x" * 300)])
def test_first_line_of_a_library(text, line):
    assert first_line(ValueError(text)) == line
