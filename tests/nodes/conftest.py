import pytest

from distill3d.nodes.comfy import Host, set_host


@pytest.fixture
def soft_scene():
    """soft_scene(kind="ball", **changes) -> SceneRecipe."""
    from soft_scene import soft_recipe

    return soft_recipe


@pytest.fixture(scope="session")
def tiny_if(tmp_path_factory):
    """The folder of a tiny IF model, only to be read."""
    from tiny_if import write_tiny_if

    return write_tiny_if(tmp_path_factory.mktemp("tiny") / "builtin")


@pytest.fixture
def output_host(tmp_path):
    """The host for one test, with its own output folder."""
    host = Host(tmp_path / "output", device="cpu")
    set_host(host)
    yield host
    set_host(None)
