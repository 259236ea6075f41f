"""The scene as a stage began, for losses that compare with it."""
from __future__ import annotations

import torch

from ..core.scene import Scene, SceneRecipe


class InitialScene:
    """initial() builds the recipe's scene at the first call and keeps it. Its parameters take no gradients."""

    def __init__(self, recipe: SceneRecipe, device: torch.device):
        self._recipe, self._device = recipe, device
        self._scene: Scene | None = None

    def __call__(self) -> Scene:
        if self._scene is None:
            self._scene = self._recipe.build(self._device).requires_grad_(False)
        return self._scene
