"""Files of 3D Gaussians: the PLY of 3D Gaussian Splatting (Kerbl et al. 2023), which holds numbers before their
activation."""
from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.errors import DistillError
from .splat import Splat, from_splat_frame, to_splat_frame, turn_from_splat_frame, turn_to_splat_frame
from .splat_wire import check_splat

NEARLY = 1e-6  # opacities are stored as logits, which are infinite at 0 and 1
THINNEST = 1e-8
_TYPES = {"char": "i1", "uchar": "u1", "short": "<i2", "ushort": "<u2", "int": "<i4", "uint": "<u4", "float": "<f4",
          "double": "<f8", "int8": "i1", "uint8": "u1", "int16": "<i2", "uint16": "<u2", "int32": "<i4",
          "uint32": "<u4", "float32": "<f4", "float64": "<f8"}


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
    """The splat of a binary PLY as `ply_bytes` and trainers of 3D Gaussian Splatting write it. Raises DistillError,
    beginning with `node`, for other files, and as `check_splat` does."""
    head, end, body = data.partition(b"end_header\n") if b"end_header\n" in data else data.partition(b"end_header\r\n")
    lines = [line.split() for line in head.decode("ascii", "replace").splitlines() if line.strip()]
    if not end or lines[:1] != [["ply"]]:
        raise DistillError(f"{node}: the file is no PLY. Of splat files, those of 3D Gaussian Splatting (.ply) are "
                           "read.")
    if ["format", "binary_little_endian", "1.0"] not in lines:
        raise DistillError(f"{node}: the PLY file is not binary_little_endian. Save it in binary form.")
    first = [number for number, line in enumerate(lines) if line[0] == "element"]
    if not first or lines[first[0]][1] != "vertex":
        raise DistillError(f"{node}: the PLY file does not begin with vertices, so it is no splat.")
    stop = first[1] if len(first) > 1 else len(lines)
    properties = [line for line in lines[first[0] + 1:stop] if line[0] == "property"]
    if any(line[1] not in _TYPES for line in properties):
        raise DistillError(f"{node}: the PLY file's vertices hold lists or unknown types, so it is no splat.")
    try:
        layout = np.dtype([(line[2], _TYPES[line[1]]) for line in properties])
        count = int(lines[first[0]][2])
    except (ValueError, IndexError) as error:
        raise DistillError(f"{node}: the PLY file's header is damaged ({error}). Export the splat anew.") from error
    if not 0 <= count * layout.itemsize <= len(body):
        raise DistillError(f"{node}: the PLY file is cut off: {len(body)} of {count * layout.itemsize} bytes are "
                           "there.")
    return _splat(np.frombuffer(body, layout, count), node)


def _splat(table: np.ndarray, node: str) -> Splat:
    known = table.dtype.names or ()
    rest = sum(name.startswith("f_rest_") for name in known)
    rest += -rest % 3  # three colours have as many each
    sizes = ("f_dc", 3), ("scale", 3), ("rot", 4), ("f_rest", rest)
    wanted = ["x", "y", "z", "opacity", *(f"{name}_{k}" for name, size in sizes for k in range(size))]
    missing = [name for name in wanted if name not in known]
    if missing:
        raise DistillError(f'{node}: the PLY file has no "{missing[0]}", so it is a point cloud or a mesh and no '
                           'splat. For meshes there is Load Mesh.')

    def column(*names: str) -> Tensor:
        return torch.from_numpy(np.stack([table[name].astype(np.float32) for name in names], 1))

    sh = column("f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    if rest:
        higher = column(*(f"f_rest_{k}" for k in range(rest))).view(len(table), 3, -1).transpose(1, 2)
        sh = torch.cat([sh, higher], 1)
    splat = Splat(column("x", "y", "z"), column("rot_0", "rot_1", "rot_2", "rot_3"),
                  column("scale_0", "scale_1", "scale_2").exp(), column("opacity").sigmoid(), sh.contiguous())
    check_splat(splat, node)
    return Splat(from_splat_frame(splat.positions), turn_from_splat_frame(splat.rotations), splat.scales,
                 splat.opacities, splat.sh)


def _named(names: str, values: Tensor) -> dict[str, Tensor]:
    return dict(zip(names.split(), values.unbind(1)))


def _numbered(prefix: str, values: Tensor) -> dict[str, Tensor]:
    return {f"{prefix}{k}": value for k, value in enumerate(values.unbind(1))}
