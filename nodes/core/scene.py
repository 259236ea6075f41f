"""A scene: a differentiable picture of parameters. Cameras in, images out."""
from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterable, Mapping, Protocol, Sequence

import torch
from torch import Tensor, nn

from ...kernels.backend import prefer
from .cameras import Cameras
from .errors import DistillError
from .field import Replacement
from .rendering import Light, Rendering
from .rng import Streams

# The names under which optimiser settings know parameters. A module names its own in `parameter_groups`.
GROUPS = ("density", "color", "network", "background", "sdf", "deformation", "texture", "variance",
          "position", "scale", "rotation", "opacity", "encoding", "sh")


class Scene(Protocol):
    """A torch module built from a SceneRecipe."""

    bounds: Tensor  # [2,3] lowest and highest corner of what can hold matter

    def render(self, cameras: Cameras, light: Light | None = None, wanted: Iterable[str] = ("rgb", "opacity"), *,
               step: int = 0, streams: Streams | None = None, shading: str | None = None) -> Rendering:
        """Images of `cameras`, differentiable in the parameters.

        wanted   names of Rendering's fields; others stay None
        streams  randomness of a training step (jitter, background, shading mode). None: a still, repeatable picture
        shading  "albedo", "shaded" or "textureless"; None lets the material draw its mode for the step
        """

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        """Called before each step: occupancy, active levels, subdivisions. The parameters that took others' places in it."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every trainable parameter once, under one of GROUPS."""


# Metadata of fields of a recipe that do not tell its runs apart: what a run measured, and whose kernels compute it.
UNCOUNTED = {"distill3d": "not in the fingerprint"}


class Recipe(Protocol):
    """A small immutable description of a torch module. Building it is the first time anything heavy happens."""

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

    def build(self, device: str | torch.device = "cpu") -> "nn.Module":
        """A new Scene with its own parameters (the recipe's tensors are copied, never shared)."""
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            material = self.material.build()
            scene = self.renderer.build(field=self.field.build(channels=material.channels), material=material,
                                        background=self.background.build())
            if self.state is not None:
                load_state(scene, {name: tensor.clone() for name, tensor in self.state.items()})
            if self.backend != "auto":
                # An operation chooses when it runs forward, so backward passes follow.
                scene.render, scene.update = (prefer(self.backend)(method) for method in (scene.render, scene.update))
            return scene.to(device)

    def trained(self, scene: nn.Module, notes: Mapping[str, Any] | None = None) -> "SceneRecipe":
        """This recipe with the parameters of `scene`, copied to the CPU."""
        state = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in scene.state_dict().items()}
        return replace(self, state=state, notes=dict(notes or {}))


def load_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads `state` into `module`. Raises DistillError naming the first tensor that does not fit.

    A part whose tensors change their sizes in training (by subdivision, for example) has a method make_room(state): given
    the tensors under its own name, it takes on their sizes. Its parameters may be other objects then.
    """
    for name, part in module.named_modules():
        if hasattr(part, "make_room"):
            prefix = f"{name}." if name else ""
            part.make_room({key[len(prefix):]: tensor for key, tensor in state.items() if key.startswith(prefix)})
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


def gather_groups(*modules: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameter groups of several modules, merged by name."""
    merged: dict[str, list[nn.Parameter]] = {}
    for module in modules:
        for name, parameters in module.parameter_groups().items():
            merged.setdefault(name, []).extend(parameters)
    return merged


DensityFn = Callable[[Tensor], Tensor]
