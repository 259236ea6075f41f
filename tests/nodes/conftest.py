import sys
from pathlib import Path

import pytest

# The stand-in scenes and priors of this folder are shared by the tests of several rooms.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def soft_scene():
    """soft_scene(kind="ball", **changes) -> SceneRecipe."""
    from soft_scene import soft_recipe

    return soft_recipe
