"""Every module has a test, and what claims gradients has a gradcheck.

The test of nodes/losses/sds.py is tests/nodes/losses/test_sds.py, or one beside it that imports the module. A backend
of a kernel (hash_grid_warp.py) may be tested with the kernel. A module that is a part of something and tested as such
stands in PARTS with that test.
"""
import ast
import functools
import re
from pathlib import Path

import pytest

from import_graph import ROOT, graph, module_of

TESTS = ROOT / "tests"
PARTS = {
    "kernels/splat/tiles": "kernels/splat/test_splat",
    "nodes/assets/gltf_file": "nodes/assets/test_gltf_reader",
    "nodes/assets/mesh_join": "nodes/assets/test_gltf_reader",
    "nodes/assets/mesh_part": "nodes/assets/test_gltf_reader",
    "nodes/assets/ply_table": "nodes/assets/test_ply_reader",
    "nodes/assets/polygon": "nodes/assets/test_obj_reader",
    "nodes/assets/texture_atlas": "nodes/assets/test_gltf_reader",
    "nodes/cameras/light_range": "nodes/cameras/test_lights",
    "nodes/comfy/comfy_host": "runner/test_comfyui",
    "nodes/comfy/hosts": "nodes/comfy/test_node",
    "nodes/comfy/network": "nodes/priors/test_model_content",
    "nodes/comfy/panel_routes": "runner/test_comfyui_panel",
    "nodes/comfy/standalone": "nodes/comfy/test_node",
    "nodes/comfy/warnings": "nodes/comfy/test_node",
    "nodes/core/field": "nodes/renderers/test_volume_scene",
    "nodes/core/loss": "nodes/losses/test_reference",
    "nodes/core/material": "nodes/renderers/test_lens",
    "nodes/core/objective": "nodes/optimize/test_loop",
    "nodes/core/scene": "nodes/renderers/test_volume_scene",
    "nodes/core/tower": "nodes/losses/test_clip",
    "nodes/comfy/vision": "nodes/priors/test_clip_tower",
    "nodes/core/tick": "nodes/comfy/test_node",
    "nodes/export/mesh_worker": "nodes/export/test_remesh",
    "nodes/export/still": "nodes/export/test_turntable",
    "nodes/fields/inherit_color": "nodes/fields/test_scene_to_tet_grid",
    "nodes/fields/splat_start": "nodes/fields/test_gaussians",
    "nodes/fields/tet_shape": "nodes/fields/test_tet_grid",
    "nodes/losses/score": "nodes/losses/test_sds",
    "nodes/losses/weighted": "nodes/losses/test_regularizers",
    "nodes/models/adapter": "nodes/priors/test_lora_prior",
    "nodes/models/clip_text": "nodes/priors/test_stable_diffusion",
    "nodes/models/denoiser": "nodes/priors/test_deepfloyd_if",
    "nodes/models/family": "nodes/priors/test_diffusers_prior",
    "nodes/models/family_flux": "nodes/priors/test_diffusers_prior",
    "nodes/models/family_pixart": "nodes/priors/test_diffusers_prior",
    "nodes/models/family_sd3": "nodes/priors/test_diffusers_prior",
    "nodes/models/folder_writer": "nodes/train/test_if_layout",
    "nodes/models/image_resampler": "nodes/priors/test_imagedream",
    "nodes/models/model_file": "nodes/priors/test_model_prior",
    "nodes/models/multi_view": "nodes/priors/test_mvdream",
    "nodes/models/multiview_unet": "nodes/priors/test_mvdream",
    "nodes/models/noise": "nodes/priors/test_stable_diffusion",
    "nodes/models/reading": "nodes/priors/test_deepfloyd_if",
    "nodes/models/tuning": "nodes/priors/test_lora_prior",
    "nodes/optimize/largest": "nodes/optimize/test_loop",
    "nodes/optimize/objective": "nodes/losses/test_reference",
    "nodes/optimize/optimize": "nodes/optimize/test_splat_scene",
    "nodes/optimize/preview": "nodes/optimize/test_loop",
    "nodes/optimize/run_state": "nodes/optimize/test_loop",
    "nodes/optimize/step": "nodes/optimize/test_loop",
    "nodes/priors/richdreamer": "nodes/priors/test_albedo_prior",
    "nodes/priors/save_text_embeddings": "nodes/models/test_text_embeddings",
    "nodes/renderers/field_scene": "nodes/renderers/test_splat_scene",
    "nodes/renderers/shading": "nodes/renderers/test_volume_scene",
    "nodes/surface/color": "nodes/export/test_bake_texture",
    "nodes/surface/density_grid": "nodes/export/test_extract_mesh",
    "runner/core_background": "runner/test_core_nodes",
    "runner/core_node": "runner/test_core_nodes",
    "runner/options": "runner/test_cli",
    "runner/weights": "runner/test_true_picture",
}
# Started by name, as programs or in another process, so that no import leads to them.
BY_NAME = {"nodes/comfy/panel_routes", "nodes/export/mesh_worker"}

MODULES = sorted(path.relative_to(ROOT) for top in ("kernels", "nodes", "runner") for path in (ROOT / top).rglob("*.py")
                 if path.name != "__init__.py")
CLAIMS = re.compile(r"(?<![Nn]ot )\b[Dd]ifferentiable\b")


def name_of(path: Path) -> str:
    return path.with_suffix("").as_posix()


def own_test(path: Path) -> Path:
    return TESTS / path.parent / f"test_{path.name}"


@functools.cache
def imported(test: Path) -> set[tuple[str, ...]]:
    """The modules of the pack that a test imports."""
    found = set()
    for node in ast.walk(ast.parse(test.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "distill3d":
            module = tuple(node.module.split(".")[1:])
            found |= {module, *((*module, alias.name) for alias in node.names)}
    return found


def found_tests(path: Path) -> list[Path]:
    beside = [test for test in sorted((TESTS / path.parent).glob("test_*.py")) if module_of(path) in imported(test)]
    kernel = [test for test in (TESTS / path.parent).glob("test_*.py") if path.parts[0] == "kernels"
              and path.stem.startswith(f"{test.stem.removeprefix('test_')}_")]
    return [test for test in (own_test(path),) if test.is_file()] + beside + kernel


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_has_a_test(path):
    assert found_tests(path) or name_of(path) in PARTS, f"Write {own_test(path).relative_to(ROOT)}."


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_reached_by_the_test_that_it_names(name):
    """The test imports it, or what it imports does; contracts and readers may be one further away."""
    path, test = Path(f"{name}.py"), TESTS / f"{PARTS[name]}.py"
    assert (ROOT / path).is_file() and not found_tests(path), f"Take {name} out of PARTS."
    edges = graph()
    reached = imported(test) & edges.keys()
    for _ in range(2):
        reached |= {other for one in reached for other in edges[one]}
    assert test.is_file() and (module_of(path) in reached or name in BY_NAME)


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "kernels"], ids=name_of)
def test_what_claims_gradients_has_a_gradcheck(path):
    """In kernels: one test of each module whose docstrings say that something is differentiable."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    texts = [" ".join((ast.get_docstring(node) or "").split()) for node in ast.walk(tree)
             if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    if not any(CLAIMS.search(text) for text in texts):
        return
    assert any("gradcheck" in test.read_text(encoding="utf-8") for test in found_tests(path)), (
        f"Write a gradcheck in float64 in {own_test(path).relative_to(ROOT)}.")


@pytest.mark.parametrize("text, is_claim", [
    ("Returns [N]. Differentiable in x.", True), ("Not differentiable. Memory O(N).", False),
    ("Differentiable in x, not in y.", True), ("a differentiable sum", True), ("No gradient.", False)])
def test_claims_are_found(text, is_claim):
    assert bool(CLAIMS.search(text)) is is_claim
