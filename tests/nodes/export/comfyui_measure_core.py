"""Run by test_core_comfyui.py with ComfyUI's interpreter inside its checkout: measures, and prints one JSON object."""
import importlib.util
import json
import sys
from pathlib import Path

from comfy.cli_args import args

args.cpu = True  # before the host looks for a device
import comfy_extras.nodes_gaussian_splat as splats  # noqa: E402
import comfy_extras.nodes_save_3d as files  # noqa: E402
import torch  # noqa: E402
from comfy_api.latest import IO, Types  # noqa: E402

PACK = Path(__file__).resolve().parents[3]
SIZE = 256
CAMERAS = {
    "orbit": {"mode": "orbit", "yaw": 35.0, "pitch": 25.0, "distance": 5.0},
    "below": {"mode": "orbit", "yaw": -140.0, "pitch": -40.0, "distance": 4.0},
    "look_at": {"mode": "look_at", "position_x": 3.0, "position_y": 1.5, "position_z": -3.0},
    "quaternion": {"mode": "quaternion", "position_x": 4.5, "position_y": 0.0, "position_z": 0.3, "quat_x": 0.0,
                   "quat_y": 0.70710678, "quat_z": 0.0, "quat_w": 0.70710678}}
LENSES = {"orbit": {"roll": 30.0, "zoom": 1.3}, "below": {}, "look_at": {"target_x": 0.2, "target_y": -0.1},
          "quaternion": {}}


def load_pack():
    spec = importlib.util.spec_from_file_location("distill3d", PACK / "__init__.py",
                                                  submodule_search_locations=[str(PACK)])
    sys.modules["distill3d"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["distill3d"])


def camera_info(name):
    options = {"target_x": 0.0, "target_y": 0.0, "target_z": 0.0, "roll": 0.0, "fov": 35.0, **LENSES[name]}
    return splats.CreateCameraInfo.execute(CAMERAS[name], **options).args[0]


def psnr(one, other):
    return float(-10 * (one - other).square().mean().log10())


def measure_views(scene, splat):
    """Core's picture of the splat and ours of the scene, from one camera."""
    from distill3d.nodes.export.render_view import render_view

    found = {}
    for name in CAMERAS:
        info = camera_info(name)
        ours, opacity = render_view(scene, SIZE, SIZE, camera=info)
        theirs, covered = splats.RenderSplat.execute(splat, SIZE, SIZE, 1, 1.0, 1.0, 0.0, 0.0, "#ffffff", "color",
                                                     info).args
        normal, _ = splats.RenderSplat.execute(splat, SIZE, SIZE, 1, 1.0, 1.0, 0.0, 0.0, "#ffffff", "normal", info).args
        one, other = opacity > 0.5, covered > 0.5
        both = one & other
        inside = -torch.nn.functional.max_pool2d(-one.float()[None], 9, 1, 4)[0] > 0
        found[name] = {"iou": float(both.sum() / (one | other).sum()), "psnr": psnr(ours, theirs),
                       "mirrored": psnr(ours.flip(2), theirs), "share": float(one.float().mean()),
                       "holes": float((1 - covered[inside]).max()),
                       "facing": float((2 * normal[both] - 1)[:, 2].mean())}
    return found


def measure_files(scene, mesh, splat):
    """Through core's own writers and readers."""
    from distill3d.nodes.assets.core_mesh import from_core, to_core
    from distill3d.nodes.export.load_mesh import LoadMeshNode

    file = files.MeshToFile3D.execute(to_core(mesh)).args[0]
    back = from_core(LoadMeshNode.execute(file).args[0], "Test")
    ply = splats.SplatToFile3D.execute(splat, "ply").args[0]
    again = splats.File3DToSplat.execute(ply).args[0]
    return {"format": file.format, "vertices": float((back.vertices - mesh.vertices).abs().max()),
            "texture": float((back.texture - mesh.texture).abs().max()), "uv": float((back.uv - mesh.uv).abs().max()),
            "splat": {name: float((getattr(again, name) - getattr(splat, name)).abs().max())
                      for name in ("positions", "scales", "rotations", "opacities", "sh")}}


def measure_gaussians():
    """Core's picture of Gaussians and ours of the same, and what comes back through core's files and our node."""
    from distill3d.nodes.export.scene_to_splat import scene_to_splat
    from distill3d.nodes.fields.gaussians import Gaussians, start_of
    from random_splat import random_splat
    from splat_scene import ball, splat_recipe

    cloud = ball(3000)
    cloud.sh[..., 1] += cloud.positions[:, 1:2].sign()  # left and right differ
    scene = splat_recipe(cloud)
    wire = scene_to_splat(scene)
    found = {"views": measure_views(scene, wire), "files": {}}
    splat = scene_to_splat(splat_recipe(random_splat(500, 3)))
    for kind in ("ply", "spz", "ksplat"):
        file = splats.SplatToFile3D.execute(splat, kind).args[0]
        back = scene_to_splat(splat_recipe(start_of(Gaussians(), file).initial))
        theirs = splats.File3DToSplat.execute(file).args[0]
        found["files"][kind] = {name: float((getattr(back, name) - getattr(theirs, name)).abs().max())
                                for name in ("positions", "scales", "rotations", "opacities", "sh")}
    back = scene_to_splat(splat_recipe(start_of(Gaussians(), splat).initial))
    found["wire"] = {name: float((getattr(back, name) - getattr(splat, name)).abs().max())
                     for name in ("positions", "scales", "rotations", "opacities", "sh")}
    return found


def measure_types():
    """What each of our sockets is called, and whether the host has a type of that name."""
    from distill3d.nodes.comfy import CAMERA_3D, FILES_3D, MODEL_3D, SPLAT, SPLAT_FILES

    known = {one.io_type for one in vars(IO).values() if hasattr(one, "io_type")}
    return sorted({one.io_type for one in (*FILES_3D, SPLAT, *SPLAT_FILES, CAMERA_3D, MODEL_3D)} - known)


def main():
    load_pack()
    from distill3d.nodes.export.scene_to_splat import scene_to_splat
    from soft_scene import soft_recipe

    generator = torch.Generator().manual_seed(0)
    scene = soft_recipe(kind="cone", softness=0.005)
    splat = scene_to_splat(scene, 60_000, 96)
    assert isinstance(splat, Types.SPLAT)
    from distill3d.nodes.assets.mesh import Mesh

    vertices, faces = torch.rand(9, 3, generator=generator), torch.arange(9).view(3, 3)
    mesh = Mesh(vertices, faces, torch.rand(9, 2, generator=generator),
                (torch.rand(8, 8, 3, generator=generator) * 255).round() / 255)
    print("MEASURED " + json.dumps({"views": measure_views(scene, splat), "files": measure_files(scene, mesh, splat),
                                    "gaussians": measure_gaussians(), "unknown types": measure_types()}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "parts"))
    main()
