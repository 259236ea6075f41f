"""Particles: copies of a scene with different seeds that are trained together (Wang et al. 2023, ProlificDreamer)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..comfy import SCENE, Node, io
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.field import Field, Replacement
from ..core.rendering import Light, Rendering
from ..core.rng import Streams
from ..core.scene import Scene, SceneRecipe, gather_groups, part_of

TITLE = "Particles"
_PART = "particles"  # prefix of the state's tensors


@dataclass(frozen=True)
class Particles(SceneRecipe):
    """Recipe of `count` copies of a scene, with seeds seed, seed + 1, ...

    Wang et al. 2023 (ProlificDreamer) train up to 4 particles for one prompt, 25,000 steps each. The LoRA model of VSD
    is trained on the renderings of all particles, which pushes them apart.
    """

    count: int = 1

    def __post_init__(self):
        if self.count < 1:
            raise DistillError(f'{TITLE}: "count" is {self.count}. At least 1 is needed.')

    @classmethod
    def of(cls, scene: SceneRecipe, count: int) -> "Particles":
        """Raises DistillError for a trained scene, whose copies would all be equal, and for particles."""
        if isinstance(scene, Particles):
            raise DistillError(f'{TITLE}: the scene is {scene.count} particles already. Set "count" there, or take one '
                               "with Pick Particle.")
        if scene.state is not None:
            raise DistillError(f"{TITLE}: this scene is trained, so all of its copies would be equal. Connect the "
                               "scene as it comes from its renderer, before Optimize.")
        return cls(**vars(scene), count=count)

    def pick(self, index: int) -> SceneRecipe:
        """One particle with its trained state. Raises DistillError if there are fewer."""
        if not 0 <= index < self.count:
            raise DistillError(f'Pick Particle: there is no particle {index}. "index" goes from 0 to {self.count - 1} '
                               "here.")
        state = None if self.state is None else part_of(self.state, f"{_PART}.{index}")
        return SceneRecipe(self.renderer, self.field, self.material, self.background, self.seed + index, state,
                           self.notes, self.backend)

    def build(self, device: str | torch.device = "cpu") -> "ParticleScene":
        return ParticleScene([self.pick(index).build(device) for index in range(self.count)])


class ParticleScene(Scene):
    """A Scene (see nodes.core.scene) of several scenes. All views of a training step show one particle, which `update`
    draws at random, as in the published code. Stills and exports show the first particle."""

    def __init__(self, scenes: Sequence[Scene]):
        super().__init__()
        self.particles = nn.ModuleList(scenes)
        self.current = 0

    @property
    def first(self) -> Scene:
        return self.particles[0]

    @property
    def bounds(self) -> Tensor:
        return self.first.bounds

    @property
    def radius(self) -> float | None:
        return self.first.radius

    @property
    def is_volume(self) -> bool:
        return self.first.is_volume

    @property
    def has_distance(self) -> bool:
        return self.first.has_distance

    @property
    def is_gaussian(self) -> bool:
        return self.first.is_gaussian

    @property
    def is_surface(self) -> bool:
        return self.first.is_surface

    @property
    def field(self) -> Field:
        return self.first.field

    @property
    def material(self) -> nn.Module:
        return self.first.material

    @property
    def background(self) -> nn.Module:
        return self.first.background

    def resize_like(self, state: Mapping[str, Tensor]) -> None:
        for index, scene in enumerate(self.particles):
            scene.resize_like(part_of(state, f"{_PART}.{index}"))

    def render(self, cameras: Cameras, light: Light | None = None, wanted: Iterable[str] = ("rgb", "opacity"), *,
               step: int = 0, streams: Streams | None = None, shading: str | None = None) -> Rendering:
        scene = self.particles[0 if streams is None else self.current]
        return scene.render(cameras, light, wanted, step=step, streams=streams, shading=shading)

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        self.current = int(torch.randint(len(self.particles), (), generator=streams("particle")))
        return [replaced for scene in self.particles for replaced in scene.update(step, total, streams)]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return gather_groups(*self.particles)


class ParticlesNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Particles", display_name=TITLE, category="Distill3D/renderers",
            description="Copies of a scene with different seeds that are trained together: several objects for one "
                        "prompt.",
            search_aliases=["prolificdreamer", "vsd", "several objects", "batch of scenes", "variants"],
            inputs=[
                SCENE.Input("scene", tooltip="From a renderer, not trained."),
                io.Int.Input("count", default=4, min=1, max=64,
                             tooltip="Number of copies. Each step trains one of them, drawn at random, so Optimize "
                                     "needs as many times the steps. Published: 4 with 100000."),
            ],
            outputs=[SCENE.Output("scene", tooltip="For Optimize, with a VSD Loss, and then Pick Particle. Previews "
                                                   "show the first.")])

    @classmethod
    def execute(cls, scene, count=4) -> io.NodeOutput:
        return io.NodeOutput(Particles.of(scene, count))
