"""Trainer: networks, their moving average, optimiser and counters of a training run of a small model."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import torch

from ..core.errors import DistillError, first_line
from ..core.fused_step import load_slots
from ..core.state import write_atomically

STATE, PIPELINE = "state.pt", "builtin"  # files in the folder of a run, next to the sample sheets


class Trainer:
    """The part of a training run that is independent of what is learned; subclasses define networks and steps.

    name     of the node, for errors
    index    file of a saved model that is written last
    part     file or folder by which a saved model is recognised
    shipped  folder of the weights that come with the pack
    """

    name: str
    index: str
    part: str
    shipped: Path

    def __init__(self, recipe, device="cpu"):
        self.recipe, self.device = recipe, torch.device(device)
        self.step, self.seconds = 0, 0.0
        self.must_read = True  # whether `prepare` has to run before the first step
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = torch.nn.ModuleDict(self.networks()).to(self.device).train()
        self.model.to(memory_format=torch.channels_last)  # a tenth faster
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        kept = list(self.undecayed())
        others = [p for p in self.model.parameters() if p.requires_grad and all(p is not q for q in kept)]
        groups = [{"params": others}, {"params": kept, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=recipe.lr,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )

    def networks(self) -> dict[str, torch.nn.Module]:
        """New networks by name; those without gradients are not trained."""
        raise NotImplementedError

    def undecayed(self) -> list[torch.nn.Parameter]:
        """Parameters of `model` without weight decay."""
        return []

    def sample_sheet(self) -> torch.Tensor:
        """What the averaged model has learned, as a picture [H', W', 3] on the CPU."""
        raise NotImplementedError

    def save_pipeline(self, path: str) -> None:
        """Write the averaged model as a folder that a node loads, replacing what is at `path`."""
        raise NotImplementedError

    def begin_from(self, folder: str) -> None:
        """Load the weights of a folder of the same networks; optimiser and counters start anew.

        Raises DistillError when the folder holds other networks.
        """
        raise NotImplementedError

    def prepare(self, callback: Callable | None = None) -> None:
        """Pretraining before the first step, where `must_read`; callback(step, steps, loss)."""

    def train_step(self, fraction: float) -> float:
        """One optimiser step at a fraction of the budget; returns the loss."""
        raise NotImplementedError

    def descend(self, loss: torch.Tensor, fraction: float) -> float:
        """One step of the optimiser and the average along the gradient of a loss; returns its value."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate(self.step, fraction)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return loss.item()

    @torch.no_grad()
    def _update_average(self):
        limit = self.recipe.early_ema if self.step < 2000 else self.recipe.ema
        decay = min(limit, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1.0 - decay)

    def checkpoint(self, folder: str) -> torch.Tensor:
        """Write STATE, the pipeline folder PIPELINE and a sample sheet; returns the sheet."""
        from PIL import Image

        self.save(os.path.join(folder, STATE))
        self.save_pipeline(os.path.join(folder, PIPELINE))
        sheet = self.sample_sheet()
        png = BytesIO()
        Image.fromarray((sheet * 255.0 + 0.5).byte().numpy()).save(png, "PNG")
        write_atomically(os.path.join(folder, f"samples_{self.step:06d}.png"), png.getbuffer())
        return sheet

    def save(self, path: str) -> None:
        """Write the state atomically: the file at `path` is always the old one or the new one."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        data = BytesIO()
        torch.save(state, data)
        write_atomically(path, data.getbuffer())

    def load(self, path: str) -> None:
        """Continue from a state. Raises DistillError when it is incomplete or belongs to another network or seed."""
        refused = (f"{self.name}: the checkpoint {path} cannot be read ({{}}). It may be incomplete: delete it and "
                   "start again.")
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # the unpickler raises IndexError, TypeError, AttributeError, ... for damaged files
            raise DistillError(refused.format(first_line(error))) from error
        if not _is_state(state):
            raise DistillError(refused.format("it is not the state of a training run"))
        for name in ("channels", "seed", "batch", "objective"):
            wanted = getattr(self.recipe, name)
            found = state["recipe"].get(name, "velocity")  # states from before there was a choice of objective
            if found != wanted:
                raise DistillError(
                    f"{self.name}: the checkpoint {path} was trained with {name} = {found}, the recipe has {wanted}. "
                    f"Use the same {name} or another folder."
                )
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
        except (RuntimeError, TypeError, AttributeError) as error:
            raise DistillError(f"{self.name}: the checkpoint {path} is of another kind of prior. Use another "
                               "folder.") from error
        load_slots(self.optimizer, state["optimizer"]["state"], f"{self.name}: the checkpoint {path}")
        self.step, self.seconds = state["step"], state["seconds"]


def _is_state(state) -> bool:
    """Whether what a file holds has the parts that `Trainer.save` writes."""
    kinds = {"step": int, "seconds": float, "recipe": dict, "model": dict, "average": dict, "optimizer": dict}
    return (isinstance(state, dict) and all(isinstance(state.get(name), kind) for name, kind in kinds.items())
            and isinstance(state["optimizer"].get("state"), dict)
            and all(isinstance(own, dict) for own in state["optimizer"]["state"].values())
            and 0 <= state["seconds"] < float("inf") and state["step"] >= 0)
