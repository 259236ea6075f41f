"""Gaussians: 3D Gaussians with adaptive density control (Kerbl et al. 2023; Tang et al. 2023, DreamGaussian)."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.surface.neighbors import neighbor_distance
from ...kernels.volume.gaussian_density import REACH, Density, extents, extinction, gaussian_density
from ..assets.splat import MAX_DEGREE, Splat, seen_colors, sh_of
from ..assets.splat_file import NEARLY, THINNEST
from ..comfy import FIELD, SCENE, SPLAT, SPLAT_FILES, Node, host, host_tick, io
from ..core.errors import DistillError
from ..core.field import FieldOutput, GaussianField, Replacement, groups_text
from ..core.material import own_features
from ..core.rng import Streams
from ..core.scene import SceneRecipe
from ..core.tick import Tick, no_tick
from .densification import RESET, Densification, densification_inputs, densified
from .splat_start import read_splat, surface_points

NAME = "Gaussians"
GREY = 0.5
VISIBLE = 0.05  # opacity above which a Gaussian counts for the bounds


@dataclass(frozen=True)
class Gaussians:
    """Recipe of a cloud of Gaussians.

    count    initial number
    radius   of the ball around the origin that they fill evenly, world units
    opacity  initial opacity
    scale    initial standard deviation, as a multiple of the distance to the nearest neighbours
    degree   of the spherical harmonics of the colour, 0 to 3; 0: the same from all directions
    initial  initial Gaussians instead of the ball. Their degree counts if it is higher
    """

    count: int = 5000
    radius: float = 0.5
    opacity: float = 0.1
    scale: float = 1.0
    degree: int = 0
    densification: Densification = Densification()
    initial: Splat | None = field(default=None, compare=False)

    def __post_init__(self):
        if self.count < 1 or not (self.radius > 0 and self.scale > 0 and 0 < self.opacity < 1):
            raise DistillError(f"{NAME}: count must be 1 or more, radius and scale positive, opacity between 0 and 1, "
                               f"got {self.count}, {self.radius}, {self.scale} and {self.opacity}.")
        if not 0 <= self.degree <= MAX_DEGREE:
            raise DistillError(f"{NAME}: the degree must be 0 to {MAX_DEGREE}, got {self.degree}.")

    def build(self, channels: int) -> "GaussiansModule":
        return GaussiansModule(self)

    def ball(self) -> Splat:
        """Grey Gaussians at random positions in the ball."""
        direction = F.normalize(torch.randn(self.count, 3), dim=-1)
        return self.around(direction * self.radius * torch.rand(self.count, 1).pow(1 / 3),
                           torch.full((self.count, 3), GREY))

    def around(self, points: Tensor, colors: Tensor) -> Splat:
        """Isotropic Gaussians at points [N,3] with colors [N,3]; their size is the distance between neighbours."""
        scales = (self.scale * neighbor_distance(points)).clamp_min(1e-4 * self.radius)
        rotations = F.pad(torch.ones_like(points[:, :1]), (0, 3))
        return Splat(points, rotations, scales[:, None].expand(-1, 3), torch.full_like(points[:, :1], self.opacity),
                     sh_of(colors))


class GaussiansModule(GaussianField):
    """See Gaussians; a GaussianField. Each parameter is a group of the same name and holds values before activation:
    logarithms of scales, logits of opacities, unnormalised quaternions, harmonics of degree 0 ("color") and above
    ("sh").

    As a volume, its density is the sum of the Gaussians, scaled by their opacities (see `extinction`), and its colour
    their weighted mean.
    """

    groups = ("position", "scale", "rotation", "opacity", "color", "sh")

    def __init__(self, recipe: Gaussians):
        super().__init__()
        self.recipe = recipe
        start = recipe.initial or recipe.ball()
        bands = (recipe.degree + 1) ** 2
        sh = F.pad(start.sh, (0, 0, 0, max(0, bands - start.sh.shape[1])))
        self._take({"position": start.positions, "scale": start.scales.clamp_min(THINNEST).log(),
                    "rotation": start.rotations,
                    "opacity": start.opacities.clamp(NEARLY, 1 - NEARLY).logit(), "color": sh[:, :1], "sh": sh[:, 1:]})

    @property
    @torch.no_grad()
    def bounds(self) -> Tensor:
        """Around all visible Gaussians. Changes during training."""
        seen = self._visible()
        reach = REACH * extents(self.rotation[seen], self.scale[seen].exp())
        return torch.stack([(self.position[seen] - reach).amin(0), (self.position[seen] + reach).amax(0)])

    @property
    @torch.no_grad()
    def radius(self) -> float:
        """Of the ball around the origin that holds all visible Gaussians; smaller than that of the bounds, which have
        corners."""
        seen = self._visible()
        return float((self.position[seen].norm(dim=1) + REACH * self.scale[seen].exp().amax(1)).amax())

    def _visible(self) -> Tensor:
        """[N] bool: opacity at or above VISIBLE; all True if there is no such Gaussian."""
        seen = self.opacity[:, 0].sigmoid() >= VISIBLE
        return seen if bool(seen.any()) else torch.ones_like(seen)

    def splat(self) -> Splat:
        return Splat(self.position, self.rotation, self.scale.exp(), self.opacity.sigmoid(),
                     torch.cat([self.color, self.sh], 1))

    def density(self, x: Tensor) -> Tensor:
        return self._at(x).density

    @torch.no_grad()
    def forward(self, x: Tensor, variance: Tensor | None = None, normals: bool = False) -> FieldOutput:
        """See VolumeField. Has no gradients: Gaussians are trained through a Splat Renderer."""
        splat = self.splat()
        found = self._at(x, seen_colors(splat, None), normals)
        return FieldOutput(found.density, own_features(found.value),
                           F.normalize(-found.gradient, dim=-1) if normals else None)

    @torch.no_grad()
    def _at(self, x: Tensor, values: Tensor | None = None, gradient: bool = False) -> Density:
        splat = self.splat()
        return gaussian_density(x, splat.positions, splat.rotations, splat.scales,
                                extinction(splat.scales, splat.opacities), values, gradient)

    @torch.no_grad()
    def watch(self, gradient: Tensor, radii: Tensor) -> None:
        length = gradient.norm(dim=-1)
        counts = (radii > 0) & length.isfinite()
        self.gradient_sum += length.where(counts, 0.0).sum(0)
        self.gradient_count += counts.sum(0)

    @torch.no_grad()
    def update(self, step: int, total: int, streams: Streams) -> list[Replacement]:
        settings, replaced = self.recipe.densification, []
        if settings.is_due(step):
            cloud, rows = densified(self._cloud(), self.gradient_sum / self.gradient_count.clamp_min(1), settings,
                                    streams("densify"))
            replaced += self._replace(cloud, rows)
        if settings.resets(step):
            limit = torch.tensor(RESET).logit().to(self.opacity)
            replaced += self._replace({"opacity": self.opacity.clamp(max=limit)},
                                      torch.full((len(self.opacity),), -1, device=self.opacity.device))
        return replaced

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {name: [parameter] if parameter.numel() else [] for name, parameter in self.named_parameters()}

    def resize_like(self, state: Mapping[str, Tensor]) -> None:
        """Takes on the number of Gaussians of a saved state."""
        if "position" in state and len(state["position"]) != len(self.position):
            count = len(state["position"])
            self._take({name: values.new_zeros(count, *values.shape[1:]) for name, values in self._cloud().items()})

    def _cloud(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    def _take(self, cloud: Mapping[str, Tensor]) -> None:
        """Replaces parameters by copies of `cloud`. New positions reset the gradient statistics."""
        for name, values in cloud.items():
            setattr(self, name, nn.Parameter(values.detach().float().clone(memory_format=torch.contiguous_format)))
        if "position" in cloud:
            self._forget()

    def _forget(self) -> None:
        self.register_buffer("gradient_sum", torch.zeros_like(self.position[:, 0]))
        self.register_buffer("gradient_count", torch.zeros_like(self.position[:, 0]))

    def _replace(self, cloud: Mapping[str, Tensor], rows: Tensor) -> list[Replacement]:
        before = {name: self.get_parameter(name) for name in cloud}
        self._take(cloud)
        return [Replacement(self.get_parameter(name), old, rows) for name, old in before.items()]


def start_of(recipe: Gaussians, splat: Any = None, scene: SceneRecipe | None = None, device: str | torch.device = "cpu",
             tick: Tick = no_tick) -> Gaussians:
    """The recipe with initial Gaussians: of a core SPLAT or file, of a scene of Gaussians, or `recipe.count` points on
    the surface of another trained scene. Raises DistillError if both are given, and what the readers raise."""
    if splat is not None and scene is not None:
        raise DistillError(f"{NAME}: both a splat and a scene are connected, but training can start from one only. "
                           "Disconnect one.")
    if splat is not None:
        return replace(recipe, initial=read_splat(splat, NAME))
    if scene is None:
        return recipe
    with torch.inference_mode(False), torch.no_grad():
        field = scene.build().field
        if field.is_gaussian:
            return replace(recipe, initial=field.splat())
    return replace(recipe, initial=recipe.around(*surface_points(scene, recipe.count, NAME, device, tick)))


class GaussiansNode(Node):
    advanced = ("opacity", "scale", "degree", "densify_every", "densify_start", "densify_end", "gradient",
                "split_scale", "min_opacity", "max_scale", "reset_every")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Gaussians", display_name=NAME, category="Distill3D/fields",
            description="A cloud of 3D Gaussians that are cloned, split and pruned during training (3D Gaussian "
                        "Splatting, DreamGaussian).",
            search_aliases=["3dgs", "gaussian splatting", "dreamgaussian", "gaussiandreamer", "splat to scene"],
            inputs=[
                io.Int.Input("count", default=5000, min=1, max=100_000,
                             tooltip="Initial number of Gaussians. DreamGaussian: 5000."),
                io.Float.Input("radius", default=0.5, min=0.001, max=1000.0, step=0.05,
                               tooltip="Radius of the ball around the origin that the initial Gaussians fill, world "
                                       "units."),
                io.Float.Input("opacity", default=0.1, min=0.001, max=0.999, step=0.05,
                               tooltip="Initial opacity of each Gaussian."),
                io.Float.Input("scale", default=1.0, min=0.01, max=10.0, step=0.1,
                               tooltip="Initial standard deviation, as a multiple of the distance to the three nearest "
                                       "neighbours."),
                io.Int.Input("degree", default=0, min=0, max=MAX_DEGREE,
                             tooltip="Degree of the spherical harmonics of the colour: 0 is the same from all "
                                     "directions, 3 shows highlights."),
                *densification_inputs(),
                io.MultiType.Input("splat", types=[SPLAT, *SPLAT_FILES], optional=True,
                                   tooltip="Start from these Gaussians: a splat, or a splat file."),
                SCENE.Input("scene", optional=True,
                            tooltip="Start from points on the surface of this trained scene, in its colours, with "
                                    "count, opacity and scale as above (GaussianDreamer)."),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a Splat Renderer. {groups_text(GaussiansModule.groups)}")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, count=5000, radius=0.5, opacity=0.1, scale=1.0, degree=0, densify_every=50, densify_start=0,
                densify_end=0, gradient=0.01, split_scale=0.04, min_opacity=0.01, max_scale=0.4, reset_every=700,
                max_count=100_000, splat=None, scene=None) -> io.NodeOutput:
        densification = Densification(densify_every, densify_start, densify_end, gradient, split_scale, min_opacity,
                                      max_scale, reset_every, max_count)
        tick = host_tick(cls.hidden.unique_id, NAME)
        recipe = start_of(Gaussians(count, radius, opacity, scale, degree, densification), splat, scene,
                          host().device(), tick)
        tick(1.0)
        return io.NodeOutput(recipe)
