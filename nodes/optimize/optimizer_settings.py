"""Optimizer Settings: the optimiser, and a learning rate for each group of parameters."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ..comfy import OPTIMIZER, Node, io, scheduled
from ..core.errors import DistillError
from ..core.fused_step import is_fusible
from ..core.schedule import Schedule

KINDS = ("Adam", "AdamW", "Adamax", "SGD")
LARGEST_RATE = 10.0
Rate = float | tuple[float, float]


@dataclass(frozen=True)
class OptimizerSettings:
    """Recipe of an optimiser.

    learning_rate  of every group that `rates` does not name
    rates          by group: a number, or a pair: the rate goes from the first to the second number over the run, by the
                   same factor in each step
    factor         multiplies all rates, as a schedule
    clip           largest norm of the whole gradient; 0: none
    """

    kind: str = "Adam"
    learning_rate: float = 0.01
    rates: tuple[tuple[str, Rate], ...] = ()
    factor: Schedule = Schedule.of(1.0)
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-15
    weight_decay: float = 0.0
    clip: float = 0.0

    def build(self, groups: dict[str, list[nn.Parameter]]) -> torch.optim.Optimizer:
        """An optimiser of parameter groups by name. Raises DistillError for a rate of a group that is not among
        them."""
        rates = dict(self.rates)
        strangers = [name for name in rates if name not in groups]
        if strangers:
            raise DistillError(f'Optimizer Settings: "rates" names the group "{strangers[0]}", which this scene does '
                               f'not have. Its groups: {", ".join(sorted(groups))}.')
        entries = [{"params": parameters, "lr": _at(rates.get(name, self.learning_rate), 0, 1), "name": name}
                   for name, parameters in sorted(groups.items()) if parameters]
        if self.kind == "SGD":
            return torch.optim.SGD(entries, momentum=self.beta1, weight_decay=self.weight_decay)
        options = dict(betas=(self.beta1, self.beta2), eps=self.epsilon, weight_decay=self.weight_decay)
        if self.kind == "Adamax":
            return torch.optim.Adamax(entries, **options)
        make = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[self.kind]
        return make(entries, **options, fused=is_fusible(p for entry in entries for p in entry["params"]) or None)

    def set_rates(self, optimizer: torch.optim.Optimizer, step: int, total: int) -> None:
        factor, rates = self.factor.at(step, total), dict(self.rates)
        for entry in optimizer.param_groups:
            entry["lr"] = _at(rates.get(entry["name"], self.learning_rate), step, total) * factor


def _at(rate: Rate, step: int, total: int) -> float:
    """The rate at `step` of a run of `total` steps; the last one beyond."""
    if not isinstance(rate, tuple):
        return rate
    first, last = rate
    return first * (last / first) ** min(step / max(total - 1, 1), 1.0)


def parse_rates(text: str) -> tuple[tuple[str, Rate], ...]:
    """"density: 0.3, position: 0.01 to 0.0001" -> (("density", 0.3), ("position", (0.01, 0.0001))). Raises DistillError
    naming the wrong piece."""
    rates = []
    for piece in text.replace("\n", ",").split(","):
        if not piece.strip():
            continue
        name, _, written = (part.strip() for part in piece.partition(":"))
        try:
            numbers = tuple(float(number) for number in written.split(" to "))
        except ValueError:
            numbers = ()
        if not 1 <= len(numbers) <= 2:
            raise DistillError(f'Optimizer Settings: cannot read "{piece.strip()}". Write "group: rate, ..." or '
                               '"group: first to last, ..."')
        if not all(0 <= number <= LARGEST_RATE for number in numbers) or (len(numbers) == 2 and 0 in numbers):
            raise DistillError(f'Optimizer Settings: the rate of "{name}" is {written}; it must be a number from 0 to '
                               f"{LARGEST_RATE:g}, and both ends of a changing rate must be above 0.")
        rates.append((name, numbers if len(numbers) == 2 else numbers[0]))
    return tuple(rates)


class OptimizerSettingsNode(Node):
    advanced = ("kind", "beta1", "beta2", "epsilon", "weight_decay", "clip")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_OptimizerSettings", display_name="Optimizer Settings", category="Distill3D/optimize",
            description="The optimiser, and a learning rate for each group of parameters.",
            search_aliases=["learning rate", "adam"],
            inputs=[
                io.Combo.Input("kind", options=list(KINDS), default="Adam",
                               tooltip="The optimiser. SGD uses beta1 as its momentum."),
                io.Float.Input("learning_rate", default=0.01, min=0.0, max=LARGEST_RATE, step=0.0001, round=False,
                               tooltip="Learning rate of every group that is not listed below."),
                io.String.Input("rates", default="", multiline=True, tooltip="Learning rates of single groups, for "
                               'example "density: 0.3, background: 0.1". "position: 0.01 to 0.0002" decays over the '
                               "run. The output tooltips of field and background nodes list their groups."),
                scheduled("factor", 1.0, "Factor of all rates. Connect a Schedule for warm-up or decay.", min=0.0,
                          max=100.0, step=0.01),
                io.Float.Input("beta1", default=0.9, min=0.0, max=0.9999, step=0.001, round=False,
                               tooltip="Decay of the average of the gradient."),
                io.Float.Input("beta2", default=0.99, min=0.0, max=0.99999, step=0.001, round=False,
                               tooltip="Decay of the average of the squared gradient."),
                io.Float.Input("epsilon", default=1e-15, min=1e-20, max=1.0, step=1e-15, round=False,
                               tooltip="Added to the denominator. Hash grids need a tiny value."),
                io.Float.Input("weight_decay", default=0.0, min=0.0, max=10.0, step=0.0001, round=False,
                               tooltip="L2 penalty (Adam) or decoupled decay (AdamW)."),
                io.Float.Input("clip", default=0.0, min=0.0, max=1e6, step=0.1,
                               tooltip="Largest norm of the gradient of all parameters together. 0: no clipping."),
            ],
            outputs=[OPTIMIZER.Output("optimizer", tooltip="For Optimize.")])

    @classmethod
    def execute(cls, kind="Adam", learning_rate=0.01, rates="", factor=1.0, beta1=0.9, beta2=0.99, epsilon=1e-15,
                weight_decay=0.0, clip=0.0) -> io.NodeOutput:
        return io.NodeOutput(OptimizerSettings(kind, learning_rate, parse_rates(rates), Schedule.of(factor), beta1,
                                               beta2, epsilon, weight_decay, clip))
