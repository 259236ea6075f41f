"""A scene: a differentiable picture of parameters. Cameras in, images out."""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any, Iterable, Mapping, Protocol, Sequence

import torch
from torch import Tensor, nn

from .cameras import Cameras
from .errors import DistillError
from .field import Field, Replacement
from .rendering import Light, Rendering
from .rng import Streams

# Metadata of fields of a recipe that do not tell its runs apart: what a run measured, and whose kernels compute it.
UNCOUNTED = {"distill3d": "not in the fingerprint"}


class Scene(nn.Module):
    """Base of the modules that renderers build: states what a scene is and can do.

    bounds    [2,3] lowest and highest corner of what can hold matter, world units
    backend   `render` and `update` run under kernels.backend.prefer(backend); SceneRecipe.build sets it
    is_volume, has_distance, is_gaussian, is_surface  what its field is, see nodes.core.field.Field. A scene with one of
                                                      them
              has `field`, `material` and `background`
    radius    of the ball around the origin that holds what can be seen, world units; None: the bounds say it
    """

    bounds: Tensor
    backend: str = "auto"
    is_volume: bool = False
    has_distance: bool = False
    is_gaussian: bool = False
    is_surface: bool = False
    radius: float | None = None
    field: Field
    material: nn.Module
    background: nn.Module

    def render(self, cameras: Cameras, light: Light | None = None, wanted: Iterable[str] = ("rgb", "opacity"), *,
               step: int = 0, streams: Streams | None = None, shading: str | None = None) -> Rendering:
        """Images of `cameras`, differentiable in the parameters.

        wanted   names of Rendering's fields; others stay None
        streams  random streams of a training step (jitter, background, shading mode). None: a still, repeatable picture
        shading  "albedo", "shaded" or "textureless"; None lets the material draw its mode for the step
        """
        raise NotImplementedError

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        """Called before each step of training: occupancy, and what the field does. Returns the parameters that were
        replaced."""
        return ()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every trainable parameter once, by the group under which Optimizer Settings gives it a learning rate."""
        raise NotImplementedError

    def resize_like(self, state: Mapping[str, Tensor]) -> None:
        """Takes on the sizes of a saved state's tensors; see Field.resize_like."""


class Recipe(Protocol):
    """A small immutable description of a torch module. Nothing heavy happens before `build`."""

    def build(self, **needs: Any) -> nn.Module: ...


@dataclass(frozen=True)
class SceneRecipe:
    """What a SCENE wire carries: how to build the scene, and its trained state if it has one.

    renderer    recipe whose build(field=, material=, background=) gives the Scene
    seed        of the initial parameters
    state       tensors by name on the CPU (a state dict), or None before the first training
    notes       what the last Optimize measured, e.g. {"opacity": 0.3, "steps": 250}
    backend     whose kernels draw the scene, see kernels.backend
    """

    renderer: Recipe
    field: Recipe
    material: Recipe
    background: Recipe
    seed: int = 0
    state: Mapping[str, Tensor] | None = None
    notes: Mapping[str, Any] | None = dataclasses.field(default=None, metadata=UNCOUNTED)
    backend: str = dataclasses.field(default="auto", metadata=UNCOUNTED)

    def build(self, device: str | torch.device = "cpu") -> Scene:
        """A new Scene with its own parameters (the recipe's tensors are copied, never shared)."""
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            material = self.material.build()
            scene = self.renderer.build(field=self.field.build(channels=material.channels), material=material,
                                        background=self.background.build(material.channels_out))
            scene.backend = self.backend
            if self.state is not None:
                load_state(scene, {name: tensor.clone() for name, tensor in self.state.items()})
            return scene.to(device)

    def trained(self, scene: Scene, notes: Mapping[str, Any] | None = None) -> "SceneRecipe":
        """This recipe with the parameters of `scene`, copied to the CPU."""
        state = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in scene.state_dict().items()}
        return replace(self, state=state, notes=dict(notes or {}))


def load_state(module: Scene | Field, state: Mapping[str, Tensor]) -> None:
    """Loads `state` into `module`, which first takes on its sizes: the parameters may be other objects afterwards.

    Raises DistillError naming the first tensor that does not fit.
    """
    module.resize_like(state)
    own = module.state_dict()
    for name in list(own) + list(state):
        if name not in state or name not in own:
            where = "the saved state" if name not in state else "this scene"
            raise DistillError(f'Load state: "{name}" is missing in {where}. The state belongs to a scene that was '
                               "wired differently: use the same field, material, background and renderer.")
        if own[name].shape != state[name].shape:
            raise DistillError(f'Load state: "{name}" has shape {list(state[name].shape)} in the saved state and '
                               f"{list(own[name].shape)} in this scene. Use the settings that it was saved with.")
    module.load_state_dict(dict(state))


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors below `name`, by the names that they have in that part: "field.table" is "table" of part "field"."""
    return {key[len(name) + 1:]: tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


def gather_groups(*modules: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameter groups of several modules, merged by name."""
    merged: dict[str, list[nn.Parameter]] = {}
    for module in modules:
        for name, parameters in module.parameter_groups().items():
            merged.setdefault(name, []).extend(parameters)
    return merged
