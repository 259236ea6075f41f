"""Images of shapes by sphere tracing (Hart 1996), batched over images with mixed primitives.

The first hit of a union is the nearest of the parts' first hits, so every (ray, part) pair is
traced on its own: a ray evaluates only the primitive it may hit, and only inside its bounding sphere.
"""

from __future__ import annotations

import torch

from ..checks import check_shape
from .sdf import BOUNDING_RADIUS, PATTERNS, PRIMITIVES, Parts, primitive_sdf

_MAX_STEPS = 64
_COMPACT_EVERY = 4  # steps between dropping the rays that have ended
_HIT = 5e-4  # world distance that counts as the surface
_BAND = 0.4  # height of a stripe, in the primitive's frame
_DOT_COSINE = 0.95  # dots are cones of directions: six along the axes, eight through the corners


def render_shapes(
    parts: Parts,
    c2w: torch.Tensor,
    fovy: torch.Tensor,
    resolution: int,
    supersample: int = 3,
    light: torch.Tensor | None = None,
    ambient: torch.Tensor | float = 1.0,
    background: torch.Tensor | float = 1.0,
) -> dict[str, torch.Tensor]:
    """Render B shapes, each from its own camera.

    parts        Parts with batch dimension B
    c2w          [B, 4, 4] camera to world, OpenGL axes (x right, y up, looks down -z)
    fovy         [B] radians
    resolution   H = W in pixels
    supersample  rays per pixel along each axis
    light        [B, 3] unit direction towards the light; default: towards the camera
    ambient      [B] or number in [0, 1]; 1 renders the albedo
    background   [B, 3] or number in [0, 1]

    Returns a dict: rgb [B, H, W, 3] over the background, alpha [B, H, W, 1] coverage,
    normal [B, H, W, 3] world and unit, depth [B, H, W, 1] distance along the ray; normal and depth
    are means over the rays that hit and 0 where none does. No gradients.
    Memory O(B (H supersample)^2); give large sets in batches of about 32 images. Devices: any.
    Raises ShapeError when the batch dimensions differ.
    """
    check_shape("c2w", c2w, "B", 4, 4)
    check_shape("fovy", fovy, len(c2w))
    check_shape("parts.kind", parts.kind, len(c2w), "P")
    with torch.no_grad():
        batch, pixels = c2w.shape[0], resolution * supersample
        like = dict(device=c2w.device, dtype=c2w.dtype)
        origin = c2w[:, :3, 3]
        light = torch.nn.functional.normalize(origin, dim=-1) if light is None else light
        ambient = torch.as_tensor(ambient, **like).expand(batch)
        background = torch.as_tensor(background, **like).expand(batch, 3)

        directions = _ray_directions(c2w, fovy, pixels)
        image, depth, color, normal = _nearest_hits(parts, origin, directions)
        lambert = (normal * light[image].T).sum(0).clamp_min(0.0)
        color = color * (ambient[image] + (1.0 - ambient[image]) * lambert)

        hit = torch.isfinite(depth.view(-1))
        layers = torch.zeros(8, batch * pixels * pixels, **like)  # rgb, normal, depth, alpha
        layers[:, hit] = torch.cat([color, normal, depth.view(-1)[hit][None], torch.ones_like(color[:1])])
        layers = layers.view(8, batch, resolution, supersample, resolution, supersample).mean((3, 5))
        layers = layers.permute(1, 2, 3, 0)
        alpha = layers[..., 7:]
        return {
            "rgb": layers[..., :3] + (1.0 - alpha) * background[:, None, None],
            "alpha": alpha,
            "normal": torch.nn.functional.normalize(layers[..., 3:6], dim=-1),
            "depth": layers[..., 6:7] / alpha.clamp_min(1e-9),
        }


def _ray_directions(c2w, fovy, pixels):
    """Unit ray directions [B, 3, pixels^2], row by row from the top left."""
    axis = (torch.arange(pixels, device=c2w.device, dtype=c2w.dtype) + 0.5) * (2.0 / pixels) - 1.0
    y, x = torch.meshgrid(-axis, axis, indexing="ij")
    x, y = x.reshape(-1), y.reshape(-1)
    tangent = torch.tan(fovy / 2)[:, None]
    right, up, back = (c2w[:, :3, i, None] for i in range(3))
    directions = right * (x * tangent)[:, None] + up * (y * tangent)[:, None] - back
    return directions * ((x * x + y * y) * tangent**2 + 1.0).rsqrt()[:, None]


def _nearest_hits(parts, origin, directions):
    """First hits over all parts.

    Returns, for the n rays that hit, in ray order: image [n], then depth [B, rays] for all rays
    (inf where nothing is hit), color [3, n] and normal [3, n] world.
    """
    batch, _, rays = directions.shape
    depth = directions.new_full((batch * rays,), torch.inf)
    found = []
    for kind, primitive in enumerate(PRIMITIVES):
        rows = (parts.kind == kind).nonzero()
        if len(rows):
            # Two rows of one image would race for a ray, so a pass holds one part number only.
            for part in rows[:, 1].unique().tolist():
                image = rows[rows[:, 1] == part, 0]
                row = type(parts)(*(value[image, part] for value in parts))
                found.append(_trace(primitive, row, image, origin, directions))
    for ray, t, _, _ in found:
        depth[ray] = torch.minimum(depth[ray], t)
    color = directions.new_zeros(3, batch * rays)
    normal = directions.new_zeros(3, batch * rays)
    for ray, t, part_color, part_normal in found:
        first = t <= depth[ray]
        color[:, ray[first]] = part_color[:, first]
        normal[:, ray[first]] = part_normal[:, first]
    hit = torch.isfinite(depth).nonzero()[:, 0]
    return hit // rays, depth.view(batch, rays), color[:, hit], normal[:, hit]


def _trace(primitive, row, image, origin, directions):
    """Trace the rays of M images against one part each.

    row  Parts with one part per row (kind [M], center [M, 3], ...); image [M] its image.
    Returns for the rays that hit: flat ray index [n], t [n], color [3, n], normal [3, n].
    """
    rays = directions.shape[-1]
    offset = origin[image] - row.center
    toward = torch.bmm(offset[:, None], directions[image])[:, 0]
    radius = row.scale * BOUNDING_RADIUS[primitive]
    chord = toward * toward - (offset.square().sum(-1) - radius * radius)[:, None]
    m, ray = (chord > 0).nonzero(as_tuple=True)
    half = chord[m, ray].sqrt()
    t = (-toward[m, ray] - half).clamp_min(0.0)
    end = half - toward[m, ray]
    # Rays in the primitive's frame; t stays a world length.
    to_local = row.rotation.transpose(1, 2) / row.scale[:, None, None]
    o = torch.bmm(to_local, offset[..., None])[:, :, 0].T[:, m].contiguous()
    d = torch.bmm(to_local, directions[image]).transpose(0, 1)[:, m, ray].contiguous()
    index = image[m] * rays + ray

    t, o, d, m, index = _march(primitive, row.scale, t, end, o, d, m, index)
    point = o + t * d
    normal = torch.einsum("nij,jn->in", row.rotation[m], _normal(primitive, point))
    return index, t, paint(row.color.T[:, m], row.pattern[m], point), normal


def _march(primitive, scale, t, end, o, d, m, index):
    """Step every ray to its surface; returns the inputs without `end`, reduced to the rays that hit."""
    size = scale[m]
    done = []
    for step in range(_MAX_STEPS):
        distance = primitive_sdf(primitive, *(o + t * d)) * size
        t = t + distance.clamp_min(0.0)
        if step % _COMPACT_EVERY == _COMPACT_EVERY - 1 or step == _MAX_STEPS - 1:
            hit = distance < _HIT
            done.append([value[..., hit] for value in (t, o, d, m, index)])
            alive = ~hit & (t < end)
            t, o, d, m, index = (value[..., alive] for value in (t, o, d, m, index))
            end, size = end[alive], size[alive]
            if not len(t):
                break
    return [torch.cat(values, -1) for values in zip(*done)]


def _normal(primitive, point):
    """Unit normals [3, n] by differences over a tetrahedron, which needs no autograd graph."""
    step = 1e-3
    total = torch.zeros_like(point)
    for corner in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
        corner = point.new_tensor(corner)[:, None]
        total += corner * primitive_sdf(primitive, *(point + step * corner))
    return _unit(total)


def _unit(vectors):
    """Vectors [3, n] to norm 1; several times faster than a norm over the short axis."""
    x, y, z = vectors
    return vectors * (x * x + y * y + z * z).clamp_min(1e-24).rsqrt()


def paint(color, pattern, point):
    """Albedo [3, n] of surface points: the part's colour, with white stripes or dots fixed to the primitive's frame.

    color    [3, n]; pattern [n] int64, index into PATTERNS; point [3, n] in the primitive's frame
    """
    if not bool(pattern.any()):
        return color
    striped = torch.floor(point[2] / _BAND + 0.5).remainder(2) > 0
    x, y, z = _unit(point).abs()
    nearest = torch.maximum(torch.maximum(x, torch.maximum(y, z)), (x + y + z) * 3**-0.5)
    dotted = nearest > _DOT_COSINE
    white = (striped & (pattern == PATTERNS.index("striped"))) | (dotted & (pattern == PATTERNS.index("dotted")))
    return torch.where(white, torch.ones_like(color), color)
