"""Files of 3D Gaussians: the PLY of 3D Gaussian Splatting (Kerbl et al. 2023), which stores values before
activation."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..comfy import host
from ..core.errors import DistillError
from .ply_table import read_table
from .splat import Splat, from_splat_frame, to_splat_frame, turn_from_splat_frame, turn_to_splat_frame
from .splat_wire import check_splat

NEARLY = 1e-6  # opacities are stored as logits, which are infinite at 0 and 1
THINNEST = 1e-8


def ply_bytes(splat: Splat) -> bytes:
    """The file of a splat: x y z nx ny nz f_dc f_rest opacity (logit) scale (logarithm) rot (wxyz)."""
    rest = splat.sh[:, 1:].transpose(1, 2).flatten(1)
    columns = {**_named("x y z", to_splat_frame(splat.positions)),
               **_named("nx ny nz", torch.zeros_like(splat.positions)), **_numbered("f_dc_", splat.sh[:, 0]),
               **_numbered("f_rest_", rest), "opacity": splat.opacities[:, 0].clamp(NEARLY, 1 - NEARLY).logit(),
               **_numbered("scale_", splat.scales.clamp_min(THINNEST).log()),
               **_numbered("rot_", turn_to_splat_frame(splat.rotations))}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(splat)}",
              *(f"property float {name}" for name in columns), "end_header", ""]
    return "\n".join(header).encode() + torch.stack(list(columns.values()),
                                                    1).float().cpu().numpy().astype("<f4").tobytes()


def read_ply(data: bytes, node: str) -> Splat:
    """The splat of a PLY written by `ply_bytes` or by trainers of 3D Gaussian Splatting, binary or text.

    Gaussians that are not finite or have a rotation of length 0 are dropped with a warning. Another warning tells that
    values seem to be activated already. Raises DistillError, beginning with `node`, for other files, truncated files
    and files without a usable Gaussian.
    """
    try:
        table = read_table(data)
    except DistillError as error:
        raise DistillError(f"{node}: the splat file cannot be read: {error} Of splat files, those of 3D Gaussian "
                           "Splatting (.ply) are read.") from error
    vertex = table.elements.get("vertex", {})
    columns = {name: values for name, values in vertex.items() if isinstance(values, np.ndarray)}
    _check_kind(columns, "chunk" in table.elements, node)
    return _splat(columns, node)


def _check_kind(columns: dict[str, np.ndarray], has_chunks: bool, node: str) -> None:
    """Raises DistillError with the kind of a PLY that lacks the columns of Gaussians."""
    missing = [name for name in _needed(columns) if name not in columns]
    if not missing:
        return
    if has_chunks or "packed_position" in columns:
        what = "is a compressed splat (SuperSplat). Save it as uncompressed .ply there"
    elif missing == ["scale_2"]:
        what = ("holds flat Gaussians of 2D Gaussian Splatting (two scales each), which are not read. Save them as 3D "
                "Gaussians, or export a mesh and use Load Mesh")
    else:
        what = f'has no "{missing[0]}", so it is a point cloud or a mesh, not a splat. Use Load Mesh for meshes'
    raise DistillError(f"{node}: the PLY file {what}.")


def _needed(columns: dict[str, np.ndarray]) -> list[str]:
    rest = sum(name.startswith("f_rest_") for name in columns)
    rest += -rest % 3  # three colours have as many each
    sizes = ("f_dc", 3), ("scale", 3), ("rot", 4), ("f_rest", rest)
    return ["x", "y", "z", "opacity", *(f"{name}_{k}" for name, size in sizes for k in range(size))]


def _splat(columns: dict[str, np.ndarray], node: str) -> Splat:
    rest = sum(name.startswith("f_rest_") for name in columns)

    def column(*names: str) -> Tensor:
        with np.errstate(over="ignore"):
            return torch.from_numpy(np.stack([columns[name].astype(np.float32) for name in names], 1))

    sh = column("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if rest:
        higher = column(*(f"f_rest_{k}" for k in range(rest))).view(len(sh), 3, -1).transpose(1, 2)
        sh = torch.cat([sh, higher], 1)
    logs, logits = column("scale_0", "scale_1", "scale_2"), column("opacity")
    splat = Splat(column("x", "y", "z"), column("rot_0", "rot_1", "rot_2", "rot_3"), logs.exp(), logits.sigmoid(),
                  sh.contiguous())
    good = torch.stack([value.flatten(1).isfinite().all(1) for value in vars(splat).values()]).all(0)
    good &= splat.rotations.square().sum(1) > 0
    if not bool(good.any()):
        raise DistillError(f"{node}: none of the {len(good)} Gaussians of the PLY file is finite and has a rotation."
                           if len(good) else f"{node}: the splat is empty: the PLY file has no Gaussian.")
    if not bool(good.all()):
        host().warn(f"{node}: {int((~good).sum())} of {len(good)} Gaussians of the PLY file are not finite or have no "
                    "rotation. They are dropped.")
        splat = Splat(**{name: value[good] for name, value in vars(splat).items()})
        logs, logits = logs[good], logits[good]
    if float(logs.min()) > 0:
        host().warn(f"{node}: every scale in the PLY file is above 0 (from {float(logs.min()):.3g}). Splat files "
                    "hold logarithms, which these seem not to be: Gaussians come out too large. Export it from another "
                    "program.")
    if float(logits.min()) >= 0 and 0 < float(logits.max()) <= 1:
        host().warn(f"{node}: every opacity in the PLY file lies in 0..1 (up to {float(logits.max()):.3g}). Splat "
                    "files hold logits, which these seem not to be: Gaussians come out half transparent. Export it "
                    "from another program.")
    check_splat(splat, node)
    return Splat(from_splat_frame(splat.positions), turn_from_splat_frame(splat.rotations), splat.scales,
                 splat.opacities, splat.sh)


def _named(names: str, values: Tensor) -> dict[str, Tensor]:
    return dict(zip(names.split(), values.unbind(1)))


def _numbered(prefix: str, values: Tensor) -> dict[str, Tensor]:
    return {f"{prefix}{k}": value for k, value in enumerate(values.unbind(1))}
