"""A scene: renders images of cameras, differentiable in its parameters."""
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

# Metadata of recipe fields that are left out of a run's fingerprint: measurements of a run, and the kernel backend.
UNCOUNTED = {"distill3d": "not in the fingerprint"}


class Scene(nn.Module):
    """Base of the modules that renderers build.

    bounds    [2,3] lowest and highest corner of the scene's box, world units; the scene is empty outside
    backend   `render` and `update` run under kernels.backend.prefer(backend); SceneRecipe.build sets it
    is_volume, has_distance, is_gaussian, is_surface
              the flags of its field, see nodes.core.field.Field. A scene with any of them has `field`, `material` and
              `background`
    radius    of a ball around the origin that contains everything visible, world units; None: use the bounds
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

        light    one light per camera; None if no material needs it
        wanted   names of the fields of Rendering to compute; the others are None
        streams  random streams of a training step (jitter, background, shading mode). None: a still, repeatable picture
        shading  "albedo", "shaded" or "textureless"; None: the mode that the material draws for the step
        """
        raise NotImplementedError

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        """Called before each training step: updates occupancy and the field. Returns the parameters that it
        replaced."""
        return ()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every trainable parameter once, by the group under which Optimizer Settings gives it a learning rate."""
        raise NotImplementedError

    def resize_like(self, state: Mapping[str, Tensor]) -> None:
        """Resizes the tensors to those of a saved state; see Field.resize_like."""


class Recipe(Protocol):
    """A small immutable description of a torch module. Nothing heavy happens before `build`."""

    def build(self, **needs: Any) -> nn.Module: ...


@dataclass(frozen=True)
class SceneRecipe:
    """The value of a SCENE wire: how to build the scene, and its trained state.

    renderer    recipe whose build(field=, material=, background=) returns the Scene
    seed        of the initial parameters
    state       tensors by name on the CPU (a state dict), or None before the first training
    notes       measurements of the last Optimize, e.g. {"opacity": 0.3, "steps": 250}
    backend     of the rendering kernels, see kernels.backend
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
        """A new Scene. Its parameters are copies: they never share memory with the recipe's tensors."""
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
    """Loads `state` into `module` after resizing it. The parameters may be new objects afterwards.

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
    """The tensors whose names begin with `name` and a dot, without this prefix: "field.table" becomes "table"."""
    return {key[len(name) + 1:]: tensor for key, tensor in state.items() if key.startswith(f"{name}.")}


def gather_groups(*modules: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameter groups of several modules, merged by name."""
    merged: dict[str, list[nn.Parameter]] = {}
    for module in modules:
        for name, parameters in module.parameter_groups().items():
            merged.setdefault(name, []).extend(parameters)
    return merged
