"""Fixtures for the tests of the export room."""
from __future__ import annotations

import pytest

from soft_scene import soft_recipe


@pytest.fixture(scope="session")
def unwrapped():
    """(scene, mesh with UVs): a ball, extracted and unwrapped once for all tests that need one."""
    from distill3d.nodes.export.extract_mesh import extract_mesh
    from distill3d.nodes.export.unwrap_uv import unwrap_uv

    scene = soft_recipe()
    return scene, unwrap_uv(extract_mesh(scene, 40).mesh, atlas="boxes")
