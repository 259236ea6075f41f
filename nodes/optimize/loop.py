"""The loop of Optimize: steps, and around them progress, saving, resuming and stopping."""
from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Sequence

import torch

from ..comfy import Host
from ..core.errors import DistillError
from ..core.objective import Objective
from ..core.prior import LoadedPriors
from ..core.scene import SceneRecipe
from .fingerprint import fingerprint, length_dependent
from .health import BORDER, Health
from .history import History
from .largest import is_out_of_memory, out_of_memory, try_largest
from .optimizer_settings import OptimizerSettings
from .preview import Preview
from .readings import Readings
from .run_state import RunState
from .step import Training
from .wiring import differences


@dataclass(frozen=True)
class RunSettings:
    """steps, seed; save_every: seconds between states on disk (0: none is written); resume: continue from the saved
    state of an equal run; preview: pixels of a preview picture.

    continue_to  the step to which the run goes on, from the latest state of the run of `steps` steps; 0: it ends at
                 `steps`. Everything that depends on the length of the run still depends on `steps`, and keeps its last
                 value beyond: the result is the same with and without states in between
    more         instead: steps to add to the latest state
    """

    steps: int
    seed: int = 0
    save_every: float = 120.0
    resume: bool = False
    preview: int = 96
    continue_to: int = 0
    more: int = 0


@dataclass
class RunResult:
    scene: SceneRecipe
    history: History
    steps: int
    seconds: float


class Run:
    """One Optimize. `run()` trains a copy of the recipe's scene and returns it as a new recipe."""

    def __init__(self, recipe: SceneRecipe, objectives: Sequence[Objective], optimizer: OptimizerSettings,
                 settings: RunSettings, host: Host, node_id: str | None = None):
        self.end = settings.continue_to or settings.steps
        if not any(objective.is_ever_active(self.end) for objective in objectives):
            raise DistillError("Optimize: no objective is active at any step. Check their start, end and every.")
        self.recipe, self.objectives, self.optimizer_settings, self.settings = recipe, objectives, optimizer, settings
        self.host, self.node_id = host, node_id
        self.device = host.device()
        name = fingerprint(recipe, tuple(objectives), optimizer, settings.steps, settings.seed)
        self.is_continued = bool(settings.continue_to or settings.more)
        if settings.more:
            found = RunState(host.state_directory, name).latest()
            self.end = (found[1] if found else settings.steps) + settings.more
        self.saved = RunState(host.state_directory, name, None if self.end == settings.steps else self.end)
        self.step, self.seconds = 0, 0.0
        self.history = History(self.end)
        self.health = Health(host.warn)
        self.readings = Readings()
        self.facts: dict[str, float] = {}  # of the last step whose numbers are known
        self._known = 0  # steps whose numbers are known
        # A step's numbers are read while the next step runs; on the CPU there is nothing to wait for.
        self.waiting = 0 if self.device.type == "cpu" else 1

    def run(self) -> RunResult:
        """Raises DistillError when memory runs out; priors are released in any case."""
        if self.settings.save_every:
            self.host.need_state(self.saved.path)
        try:
            return self._run()
        finally:
            self.host.stage_ended()

    def _run(self) -> RunResult:
        found = self.saved.finished() if self.settings.resume or self.is_continued else None
        if found is not None and (not self.is_continued or found[1]["step"] == self.end):
            state, facts = found
            if facts["step"] < self.end:
                self.host.warn(f"Optimize: this stage was ended early, at step {facts['step']} of "
                               f"{self.end}; this is its result. To train it in full, set continue_to to {self.end}, "
                               "or run it without resuming.")
            return RunResult(replace(self.recipe, state=state, notes=facts), self.history, facts["step"], 0.0)
        priors = LoadedPriors(self.device)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                return self._loop(priors)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise out_of_memory(self.objectives, self.device, self.step) from error
            raise
        finally:
            priors.release()

    def _loop(self, priors: LoadedPriors) -> RunResult:
        host, settings, total = self.host, self.settings, self.end
        self.training = training = Training(self.recipe, self.objectives, self.optimizer_settings, settings.seed,
                                            settings.steps, self.device, priors, self.health)
        for difference in differences(self.objectives, training.losses, settings.seed, settings.steps):
            host.warn(difference)
        self._continue() if self.is_continued else self._resume()
        try_largest(training, self.step)
        preview = Preview(training.scene, self.objectives[0], self.history, settings.seed, settings.preview)
        started = saved = time.monotonic()
        before, first = self.seconds, self.step
        with host.progress(self.node_id, "Optimize", total) as progress:
            while self.step < total:
                self._check()
                self.readings.send(self.step, *training.step(self.step))
                self._read(self.waiting)
                if preview.is_due(self.step, progress):
                    self._read()
                    speed = (self.step + 1 - first) / max(time.monotonic() - started, 1e-9)
                    preview.show(self.step, progress, speed, self.facts)
                self.step += 1
                if self.step == first + 1:
                    self.health.see_kernels()
                self.seconds = before + time.monotonic() - started
                if settings.save_every and time.monotonic() - saved > settings.save_every and self.step < total:
                    self._save()
                    saved = time.monotonic()
                if host.should_finish(self.node_id) or self.health.is_lost():
                    break
        self._read()
        if self.health.is_lost():
            self.step = self._known
        return self._result()

    def _read(self, waiting: int = 0) -> None:
        """Takes in what steps measured, all but the last `waiting` of them."""
        for reading in self.readings.take(waiting):
            if self.health.is_lost():  # the step that began before that was known has changed nothing
                break
            border = reading.facts.pop(BORDER, 0.0)  # no number for a chart
            self._known, self.facts = reading.step + 1, reading.facts
            self.history.add(reading.step, reading.facts)
            self.health.count(reading.is_bad)
            if "opacity" in reading.facts:
                self.health.see(reading.facts["opacity"], reading.step, self.settings.steps, border)

    def _facts(self) -> dict[str, Any]:
        return {"step": self.step, "skipped": self.health.skipped}

    def _check(self) -> None:
        """Raises if the user cancelled the run, after saving its state: it can be resumed from the current step."""
        try:
            self.host.check()
        except BaseException:  # ComfyUI's interrupt is not a subclass of Exception
            if self.settings.save_every and self.step:
                self._save()
            raise

    def _save(self) -> None:
        """Keeps the previous state instead of one that is not finite."""
        self._read()
        if self.health.is_finite(self.training.parameters()):
            self.saved.save(self.training, {**self._facts(), "seconds": self.seconds})
            self.host.prune_states()

    def _resume(self) -> None:
        facts = self.saved.resume(self.training) if self.settings.resume else None
        if facts is not None:
            self.step, self.seconds, self.health.skipped = facts["step"], facts.get("seconds", 0.0), facts["skipped"]
            self.host.warn(f"Optimize: resumed at step {self.step} of {self.end} from "
                           f"{self.saved.path.name}.")

    def _continue(self) -> None:
        """Loads the latest state that is not beyond the end, and says what it means to go on from there."""
        found, (steps, end) = self.saved.latest(self.end), (self.settings.steps, self.end)
        if found is None:
            self.host.warn(f"Optimize: no saved state of this run was found to continue from, so it trains from step 0 "
                           f"to {end}. States are saved unless save_every is 0; old ones are deleted. To train "
                           f"{steps} steps, set continue_to to 0.")
            return
        self.host.need_state(found[0])
        facts = self.saved.resume(self.training, found[0])
        self.step, self.seconds, self.health.skipped = facts["step"], facts.get("seconds", 0.0), facts["skipped"]
        self.history = History(end, first=self.step)
        names = length_dependent(self.recipe, self.objectives, self.optimizer_settings)
        if end <= steps:
            how = f"This is the same as without the interruption, up to step {end} of {steps}."
        elif names:
            how = (f"It differs from a new run of {end} steps in {', '.join(names)}: they follow the {steps} steps of "
                   f"this run and keep their last values, and a new run would stretch them over {end}.")
        else:
            how = f"No number of this wiring depends on the length: the result is that of a new run of {end} steps."
        self.host.warn(f"Optimize: continued from step {self.step} to {end}. {how}")

    def _result(self) -> RunResult:
        if not self.health.is_finite(self.training.parameters()):
            raise DistillError(f"Optimize: parameters are not finite after step {self.step}, so there is no result. "
                               "Lower the learning rates or the guidance scale, or raise the optimizer's epsilon. With "
                               "resume, the run continues from its last saved state.")
        scene = self.recipe.trained(self.training.scene)
        facts = self.saved.finished_facts(self._facts())
        if self.settings.save_every:
            self.saved.finish(self.training, facts)
            self.host.prune_states()
            if self.step < self.end:
                self.host.when_cancelled(self.saved.reopen)
        scene = replace(scene, notes={**facts, "opacity": self.health.opacity})
        return RunResult(scene, self.history, self.step, self.seconds)
