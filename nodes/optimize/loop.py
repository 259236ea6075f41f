"""The loop: looks at a scene through its objectives and improves it, step by step."""
from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor

from ..comfy import Host, Progress
from ..core.cameras import orbit
from ..core.errors import DistillError
from ..core.loss import Look, RunContext
from ..core.objective import Objective
from ..core.prior import LoadedPriors
from ..core.rng import Streams
from ..core.scene import SceneRecipe
from ..core.state import read_state, save_state
from .carry import carry_averages
from .health import Health
from .history import History
from .initial_scene import InitialScene
from .optimizer_settings import OptimizerSettings, take_step
from .readings import Readings
from .run_state import fingerprint, gather, scatter, scatter_scene


@dataclass(frozen=True)
class RunSettings:
    """steps, seed; save_every: seconds between states on disk (0: only at the end of an unfinished run);
    resume: go on from the state on disk of an equal run; preview: pixels of a preview picture."""

    steps: int
    seed: int = 0
    save_every: float = 120.0
    resume: bool = False
    preview: int = 96


@dataclass
class RunResult:
    scene: SceneRecipe
    history: History
    steps: int
    seconds: float


class Run:
    """One Optimize: scene, objectives, optimiser and everything between. `run()` is the loop."""

    def __init__(self, recipe: SceneRecipe, objectives: Sequence[Objective], optimizer: OptimizerSettings,
                 settings: RunSettings, host: Host, node_id: str | None = None):
        if not any(objective.is_active(step) for objective in objectives for step in range(min(settings.steps, 10_000))):
            raise DistillError("Optimize: no objective is active at any step. Check their start, end and every.")
        self.recipe, self.objectives, self.settings, self.host, self.node_id = recipe, objectives, settings, host, node_id
        self.optimizer_settings = optimizer
        self.device = host.device()
        self.path = Path(host.state_directory) / (
            fingerprint(recipe, tuple(objectives), optimizer, settings.steps, settings.seed) + ".safetensors")
        self.step, self.seconds = 0, 0.0
        self.history = History(settings.steps)
        self.health = Health(host.warn)
        self.readings = Readings()
        self.facts: dict[str, float] = {}  # of the last step whose numbers are known
        self._known = 0  # steps whose numbers are
        # A step's numbers are looked at when the next one is under way; on the processor there is nothing to wait for.
        self.waiting = 0 if self.device.type == "cpu" else 1

    def run(self) -> RunResult:
        finished = self._finished()
        if finished is not None:
            return finished
        priors = LoadedPriors(self.device)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                return self._loop(priors)
        except torch.OutOfMemoryError as error:
            raise self._out_of_memory() from error
        finally:
            priors.release()

    def _loop(self, priors: LoadedPriors) -> RunResult:
        host, settings = self.host, self.settings
        self.scene = self.recipe.build(self.device)
        self.initial = InitialScene(self.recipe, self.device)
        self.optimizer = self.optimizer_settings.build(self.scene.parameter_groups())
        context = RunContext(self.device, settings.seed, priors)
        self.losses = {f"{objective.name}.{i}.{loss.name}": loss.prepare(context)
                       for objective in self.objectives for i, loss in enumerate(objective.losses)}
        self._resume()
        self._try_largest()
        started = saved = time.monotonic()
        before, first = self.seconds, self.step
        with host.progress(self.node_id, "Optimize", settings.steps) as progress:
            while self.step < settings.steps:
                host.check()
                self.readings.send(self.step, *self._advance(self.step))
                self._take_in(self.waiting)
                self._show(progress, started, first)
                self.step += 1
                self.seconds = before + time.monotonic() - started
                if settings.save_every and time.monotonic() - saved > settings.save_every and self.step < settings.steps:
                    self._save()
                    saved = time.monotonic()
                if host.should_finish(self.node_id) or self.health.is_lost():
                    break
        self._take_in()
        if self.health.is_lost():
            self.step = self._known
        return self._result()

    def _take_in(self, waiting: int = 0) -> None:
        """What steps measured, all but the last `waiting` of them."""
        for reading in self.readings.take(waiting):
            if self.health.is_lost():  # the step that began before that was known has changed nothing
                break
            self._known, self.facts = reading.step + 1, reading.facts
            self.history.add(reading.step, reading.facts)
            self.health.count(reading.is_bad)
            if "opacity" in reading.facts:
                self.health.see(reading.facts["opacity"], reading.step, self.settings.steps)

    def _advance(self, step: int) -> tuple[dict[str, float | Tensor], Tensor]:
        """One step: every active objective's gradient, then the optimiser. Returns what is worth showing, and whether the
        gradients were not finite ([] bool), so that nothing was changed."""
        total, streams = self.settings.steps, Streams(self.settings.seed, step)
        replaced = self.scene.update(step, total, streams.within("scene"))
        if replaced:
            before, self.optimizer = self.optimizer, self.optimizer_settings.build(self.scene.parameter_groups())
            carry_averages(before, self.optimizer, replaced)
        self.optimizer.zero_grad(set_to_none=True)
        facts: dict[str, float | Tensor] = {}
        for objective in self.objectives:
            if objective.is_active(step):
                facts.update(self._look(objective, step, streams.within(objective.name)))
        parameters = [p for entry in self.optimizer.param_groups for p in entry["params"]]
        is_bad = self.health.is_bad(parameters)
        if self.optimizer_settings.clip:
            torch.nn.utils.clip_grad_norm_(parameters, self.optimizer_settings.clip)
        self.optimizer_settings.set_rates(self.optimizer, step, total)
        take_step(self.optimizer, is_bad)
        return facts, is_bad

    def _look(self, objective: Objective, step: int, streams: Streams, size: int = 0,
              batch: int = 0) -> dict[str, float | Tensor]:
        """Renders one objective's views and adds the gradient of its losses. size, batch: instead of the schedules'."""
        total = self.settings.steps
        size = size or max(1, round(objective.resolution.at(step, total)))
        batch = batch or max(1, round(objective.batch.at(step, total)))
        cameras = objective.views.sample(batch, size, size, step, total, streams)
        light = objective.light.sample(cameras, step, total, streams).to(self.device) if objective.light else None
        cameras = cameras.to(self.device)
        rendering = self.scene.render(cameras, light, objective.wanted, step=step, streams=streams)
        value: float | Tensor = 0.0
        facts: dict[str, float | Tensor] = {"opacity": rendering.opacity.detach().mean()}
        for i, loss in enumerate(objective.losses):
            name = f"{objective.name}.{i}.{loss.name}"
            term = self.losses[name](Look(rendering, cameras, step, total, streams.within(f"{i}.{loss.name}"), self.scene,
                                          self.initial))
            value = value + term.value
            facts.update({f"{loss.name} {key}": number for key, number in term.log.items()})
        if isinstance(value, Tensor) and value.requires_grad:
            # Towards the parameters only: analytic normals would otherwise also cost gradients of the sample positions.
            value.backward(inputs=[p for entry in self.optimizer.param_groups for p in entry["params"]])
        return facts

    def _try_largest(self) -> None:
        """Looks once at the largest scheduled size, so that memory runs out in the first minute or never."""
        for objective in self.objectives:
            size, batch = round(objective.resolution.largest()), round(objective.batch.largest())
            total = self.settings.steps
            if size > round(objective.resolution.at(0, total)) or batch > round(objective.batch.at(0, total)):
                kept = {name: loss.state_dict() for name, loss in self.losses.items()}
                buffers = [(buffer, buffer.clone()) for buffer in self.scene.buffers()]
                self._look(objective, max(objective.start, self.step), Streams(self.settings.seed, 0, "largest/"), size, batch)
                for name, loss in self.losses.items():
                    loss.load_state_dict(kept[name])
                for buffer, value in buffers:
                    buffer.copy_(value)
                self.optimizer.zero_grad(set_to_none=True)

    def _show(self, progress: Progress, started: float, first: int) -> None:
        kept = self.history.wants_picture(self.step)
        if not (kept or progress.is_due() or self.step + 1 == self.settings.steps):
            return
        self._take_in()
        strip = None
        now = time.monotonic()
        if kept or (progress.shows_pictures and now >= getattr(self, "_next_picture", 0.0)):
            # Larger where it costs little, or it would be blurred on a screen of many pixels.
            sharper = 1 if self.device.type == "cpu" else 2
            strip = preview(self.scene, self.objectives[0], self.settings, sharper * self.settings.preview)
            # Pictures take at most about a twentieth of the time.
            self._next_picture = time.monotonic() + max(0.3, 20 * (time.monotonic() - now))
        if kept:
            self.history.add_picture(self.step, strip)
        done = self.step + 1
        speed = (done - first) / max(time.monotonic() - started, 1e-9)
        text = f"{done}/{self.settings.steps}  {speed:.2f} it/s  {(self.settings.steps - done) / speed:.0f} s left"
        progress.update(done, text, None if strip is None else _side_by_side(strip), self.facts)

    def _facts(self, finished: bool) -> dict:
        return {"fingerprint": self.path.stem, "step": self.step, "finished": finished, "skipped": self.health.skipped}

    def _save(self) -> None:
        self._take_in()
        save_state(self.path, gather(self.scene, self.optimizer, self.losses),
                   {**self._facts(False), "seconds": self.seconds})

    def _resume(self) -> None:
        if not (self.settings.resume and self.path.is_file()):
            return
        tensors, facts = read_state(self.path)
        scatter_scene(tensors, self.scene)
        self.optimizer = self.optimizer_settings.build(self.scene.parameter_groups())
        scatter(tensors, self.optimizer, self.losses)
        self.step, self.seconds, self.health.skipped = facts["step"], facts["seconds"], facts["skipped"]
        self.host.warn(f"Optimize: resumed at step {self.step} of {self.settings.steps} from {self.path.name}.")

    def _finished(self) -> RunResult | None:
        """The result of an equal run that had come to its end, when resuming."""
        if not (self.settings.resume and self.path.is_file()):
            return None
        tensors, facts = read_state(self.path)
        if not facts["finished"]:
            return None
        state = {name[len("scene."):]: tensor for name, tensor in tensors.items() if name.startswith("scene.")}
        return RunResult(replace(self.recipe, state=state, notes=facts), self.history, facts["step"], 0.0)

    def _result(self) -> RunResult:
        notes = {**self._facts(True), "opacity": self.health.opacity}
        scene = self.recipe.trained(self.scene, notes)
        if self.settings.save_every:
            # Later stages resume without repeating this one, so its result stays; the optimiser's tensors need not.
            # No times in it: equal runs leave equal bytes.
            save_state(self.path, {f"scene.{name}": tensor for name, tensor in scene.state.items()}, self._facts(True))
        return RunResult(scene, self.history, self.step, self.seconds)

    def _out_of_memory(self) -> DistillError:
        sizes = max(round(objective.resolution.largest()) for objective in self.objectives)
        batches = max(round(objective.batch.largest()) for objective in self.objectives)
        return DistillError(f"Optimize: out of memory on {self.device} at step {self.step} (largest resolution {sizes}, "
                            f"batch {batches}). Lower, in this order: the Objective's resolution, its batch, the "
                            "renderer's samples per ray.")


@torch.no_grad()
def preview(scene, objective: Objective, settings: RunSettings, size: int) -> Tensor:
    """rgb, normal and opacity of one still view of size H, stacked from top to bottom [3H,H,3]."""
    camera = objective.views.sample(1, size, size, 0, settings.steps, Streams(settings.seed, 0, "preview/"))
    camera = orbit(0.6, 0.35, float(camera.distance.mean()), float(camera.fovy.mean()), size, size).to(scene.bounds.device)
    rendering = scene.render(camera, None, ("rgb", "opacity", "normal"), shading="albedo")
    grey = rendering.opacity[0].expand(-1, -1, 3)
    return torch.cat([rendering.rgb[0], rendering.normal[0] * 0.5 + 0.5, grey]).clamp(0, 1).float().cpu()


def _side_by_side(strip: Tensor) -> Tensor:
    return torch.cat(strip.chunk(3), 1)
