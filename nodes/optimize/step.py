"""One step of training, from top to bottom. The other files of this room save, resume and preview."""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor, nn

from ..core.fused_step import take_step
from ..core.loss import Look, PreparedLoss, RunContext
from ..core.objective import LearningViews, Objective
from ..core.prior import LoadedPriors
from ..core.rng import Streams
from ..core.scene import SceneRecipe, gather_groups
from .carry import carry_averages
from .health import BORDER, Health, border_opacity
from .initial_scene import InitialScene
from .optimizer_settings import OptimizerSettings

Facts = dict[str, float | Tensor]


class Training:
    """What a run trains and what trains it.

    scene      the module in training
    views      the modules of the objectives' learning views, each once
    losses     by name: the prepared losses of all objectives
    optimizer  of the scene's parameters and those of learning views
    """

    def __init__(self, recipe: SceneRecipe, objectives: Sequence[Objective], settings: OptimizerSettings, seed: int,
                 total: int, device: torch.device, priors: LoadedPriors, health: Health):
        self.objectives, self.settings, self.seed, self.total, self.device = objectives, settings, seed, total, device
        self.health = health
        self.scene, self.initial = recipe.build(device), InitialScene(recipe, device)
        self._learners = _learners(objectives, seed, device)
        self.optimizer = self.new_optimizer()
        context = RunContext(device, seed, priors)
        self.losses: dict[str, PreparedLoss] = {
            f"{objective.name}.{i}.{loss.name}": loss.prepare(context)
            for objective in objectives for i, loss in enumerate(objective.losses)}

    def step(self, step: int) -> tuple[Facts, Tensor]:
        """Trains one step. Returns numbers for the log, and is_bad [] bool: gradients were not finite and nothing
        changed."""
        total, streams = self.total, Streams(self.seed, step)

        # The scene's own changes come first: occupancy, active levels, densification, subdivision.
        replaced = self.scene.update(step, total, streams.within("scene"))
        if replaced:
            before, self.optimizer = self.optimizer, self.new_optimizer()
            carry_averages(before, self.optimizer, replaced)

        self.optimizer.zero_grad(set_to_none=True)
        facts: Facts = {}
        for objective in self.objectives:
            if objective.is_active(step):
                batch, size = objective.size(step, total)
                facts |= self.backward(objective, step, streams.within(objective.name), batch, size)

        is_bad = self.health.is_bad(self.parameters())
        if self.settings.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters(), self.settings.clip)
        self.settings.set_rates(self.optimizer, step, total)
        take_step(self.optimizer, is_bad)
        return facts, is_bad

    def backward(self, objective: Objective, step: int, streams: Streams, batch: int, size: int) -> Facts:
        """Renders `batch` views of size x size pixels and adds the gradients of the objective's losses."""
        total = self.total
        views = self._learners.get(id(objective.views), objective.views)
        cameras = views.sample(batch, size, size, step, total, streams)
        light = None
        if objective.light is not None:
            with torch.no_grad():  # lights are drawn on the host, and follow cameras without training them
                light = objective.light.sample(cameras.to("cpu"), step, total, streams).to(self.device)
        cameras = cameras.to(self.device)
        rendering = self.scene.render(cameras, light, objective.wanted, step=step, streams=streams)

        value: float | Tensor = 0.0
        facts: Facts = {"opacity": rendering.opacity.detach().mean(), BORDER: border_opacity(rendering.opacity)}
        for i, loss in enumerate(objective.losses):
            look = Look(rendering, cameras, step, total, streams.within(f"{i}.{loss.name}"), self.scene, self.initial)
            term = self.losses[f"{objective.name}.{i}.{loss.name}"](look)
            value = value + term.value
            facts |= {f"{loss.name} {key}": number for key, number in term.log.items()}

        if isinstance(value, Tensor) and value.requires_grad:
            # Towards the parameters only: analytic normals would otherwise also cost gradients of the sample positions.
            value.backward(inputs=self.parameters())
        return facts

    @property
    def views(self) -> list[nn.Module]:
        return list(self._learners.values())

    def parameters(self) -> list[nn.Parameter]:
        return [parameter for entry in self.optimizer.param_groups for parameter in entry["params"]]

    def new_optimizer(self) -> torch.optim.Optimizer:
        """An optimiser of the present parameters, without averages."""
        return self.settings.build(gather_groups(self.scene, *self.views))


def _learners(objectives: Sequence[Objective], seed: int, device: torch.device) -> dict[int, nn.Module]:
    """The module of each learning VIEWS, by the recipe's id. Objectives with the same views share one."""
    built: dict[int, nn.Module] = {}
    for views in (objective.views for objective in objectives):
        if isinstance(views, LearningViews) and id(views) not in built:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                built[id(views)] = views.learner().to(device)
    return built
