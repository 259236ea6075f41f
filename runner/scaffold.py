"""`distill3d new loss "Edge Loss"`: begins a loss, prior, field or material.

It writes nodes/<room>/<name>.py, its test, and the node's line in nodes/__init__.py. `make sync` then adds the node to
the frozen ids, the labels and the help pages. The files run and pass their test: replace the simple thing that they
compute by the real one.
"""
from __future__ import annotations

import re
from pathlib import Path

from ..nodes.core.errors import DistillError
from .listing import PACK

ROOMS = {"loss": "losses", "prior": "priors", "field": "fields", "material": "materials"}
SUFFIX = {"loss": " Loss", "prior": " Prior", "field": "", "material": ""}


def write(kind: str, name: str, pack: Path = PACK) -> list[Path]:
    """The files, written. Raises DistillError for a name that is none, or is taken."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    suffix = SUFFIX[kind].strip()
    if words and words[-1].lower() == suffix.lower():
        words = words[:-1]
    if not words or not words[0][0].isalpha():
        raise DistillError(f'new {kind}: "{name}" is no name. Write it as it should stand in the menu, for example '
                           f'"Edge{SUFFIX[kind]}".')
    words = [word[0].upper() + word[1:] for word in words]
    title, cls = " ".join(words) + SUFFIX[kind], "".join(words)
    module = "_".join(word.lower() for word in words) + ("_prior" if kind == "prior" else "")
    room = ROOMS[kind]
    code, test = pack / "nodes" / room / f"{module}.py", pack / "tests" / "nodes" / room / f"test_{module}.py"
    for path in (code, test):
        if path.exists():
            raise DistillError(f"new {kind}: {path.relative_to(pack)} exists. Choose another name, or edit that file.")
    facts = {"TITLE": title, "CLASS": cls, "NODE": cls + suffix + "Node", "ID": f"Distill3D_{cls}{suffix}",
             "MODULE": module, "WORDS": " ".join(word.lower() for word in words)}
    code.write_text(_filled(CODE[kind], facts), encoding="utf-8")
    test.write_text(_filled(TESTS[kind], facts), encoding="utf-8")
    listing = pack / "nodes" / "__init__.py"
    listing.write_text(_listed(listing.read_text(encoding="utf-8"), room, module, facts["NODE"]), encoding="utf-8")
    return [code, test, listing]


def _filled(text: str, facts: dict[str, str]) -> str:
    for name, value in facts.items():
        text = text.replace(f"@{name}@", value)
    return text


def _listed(source: str, room: str, module: str, node: str) -> str:
    """nodes/__init__.py with a line for the node behind the last one of its room."""
    lines = source.split("\n")
    last = max(number for number, line in enumerate(lines) if line.strip().startswith(f"from .{room}."))
    lines.insert(last + 1, f"    from .{room}.{module} import {node}")
    return "\n".join(lines)


CODE = {"loss": '''"""@TITLE@: (one sentence: what should be true of a rendering)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure

TITLE = "@TITLE@"


@dataclass(frozen=True)
class @CLASS@:
    """(What it measures, its source with the number of the equation.)

    weight  of a mean over pixels
    """

    weight: Schedule = Schedule.of(1.0)
    name: str = "@WORDS@"
    wanted: frozenset[str] = frozenset({"opacity"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(self._measure, self.weight)

    def _measure(self, look: Look) -> Tensor:
        """A scalar, differentiable in the rendering."""
        return look.rendering.opacity.mean()


class @NODE@(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="@ID@", display_name=TITLE,
            category="Distill3D/losses",
            description="Measures what is still to be described.",
            search_aliases=["@WORDS@"],
            inputs=[
                scheduled("weight", 1.0, "Weight of this loss.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, @CLASS@(Schedule.of(weight))))
''', "material": '''"""@TITLE@: (one sentence: how a point looks)."""
from __future__ import annotations

from dataclasses import dataclass

from ..comfy import MATERIAL, Node, io
from .albedo import Albedo


@dataclass(frozen=True)
class @CLASS@(Albedo):
    """(What it computes from the features of a point, its source.) As it is, Albedo."""


class @NODE@(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="@ID@", display_name="@TITLE@",
            category="Distill3D/materials",
            description="Shows a point as is still to be described.",
            search_aliases=["@WORDS@ material"],
            inputs=[],
            outputs=[MATERIAL.Output("material", tooltip="For a renderer.")])

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(@CLASS@())
''', "field": '''"""@TITLE@: (one sentence: what holds density and features)."""
from __future__ import annotations

from dataclasses import dataclass

from ..comfy import FIELD, Node, io
from .voxel_volume import VoxelVolume


@dataclass(frozen=True)
class @CLASS@(VoxelVolume):
    """(The representation, its source.) As it is, a Voxel Volume."""


class @NODE@(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="@ID@", display_name="@TITLE@",
            category="Distill3D/fields",
            description="Holds density and features, as is still to be described.",
            search_aliases=["@WORDS@ field"],
            inputs=[io.Float.Input("radius", default=1.0, min=0.01, max=100.0, step=0.1,
                                   tooltip="Half the side of the cube that it fills, world units.")],
            outputs=[FIELD.Output("field", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, radius=1.0) -> io.NodeOutput:
        return io.NodeOutput(@CLASS@(radius=radius))
''', "prior": '''"""@TITLE@: (one sentence: which model, from which files)."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..comfy import PRIOR, Node, io
from ..core.prior import LoadedPriors
from ..models.builtin import BUILTIN_FOLDER
from ..models.model_files import locate
from .deepfloyd_if import IFPrior

NAME = "@TITLE@"


@dataclass(frozen=True)
class @CLASS@:
    """A recipe.

    folder  of the model; "": the built-in one
    """

    folder: str = ""
    image = ""

    def load(self, priors: LoadedPriors) -> "@CLASS@Prior":
        return @CLASS@Prior(Path(self.folder) if self.folder else BUILTIN_FOLDER, priors.device)


class @CLASS@Prior(IFPrior):
    """The Prior contract over (the model). A model that is read by nodes.models subclasses DenoiserPrior: see
    LatentPrior, and write encode_prompts, encode_image, decode_image and denoise. As it is, DeepFloyd IF's layout."""

    name = NAME


class @NODE@(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="@ID@", display_name=NAME,
            category="Distill3D/priors",
            description="A model as a prior, still to be described.",
            search_aliases=["@WORDS@ model"],
            inputs=[io.String.Input("folder", default="", optional=True, tooltip="Folder of the model below the "
                                    "diffusers folder. Empty: the built-in one.")],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss and Sample Prior.")])

    @classmethod
    def execute(cls, folder="") -> io.NodeOutput:
        return io.NodeOutput(@CLASS@(str(locate(folder, NAME, "diffusers")) if folder else ""))
'''}

TESTS = {"loss": '''import torch

from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.losses.@MODULE@ import @CLASS@, @NODE@
from looks import look_at


def test_value_and_gradient():
    opacity = torch.rand(2, 4, 4, 1, requires_grad=True)
    prepared = @CLASS@().prepare(RunContext(torch.device("cpu"), 0, None))
    term = prepared(look_at(Rendering(opacity=opacity)))
    torch.testing.assert_close(term.value, opacity.mean())
    term.value.backward()
    torch.testing.assert_close(opacity.grad, torch.full_like(opacity, 1 / opacity.numel()))


def test_node():
    chain, = @NODE@.execute(losses=("first",)).args
    assert chain == ("first", @CLASS@())
''', "material": '''import torch

from distill3d.nodes.materials.@MODULE@ import @CLASS@, @NODE@


def test_colors():
    recipe, = @NODE@.execute().args
    assert recipe == @CLASS@()
    module, features = recipe.build(), torch.randn(5, recipe.channels)
    rgb, albedo = module(features, None, torch.zeros(5, 3), None, "albedo")
    assert rgb.shape == (5, 3) and torch.equal(rgb, albedo) and ((rgb >= 0) & (rgb <= 1)).all()
''', "field": '''import torch

from distill3d.nodes.fields.@MODULE@ import @CLASS@, @NODE@


def test_density_and_features():
    recipe, = @NODE@.execute(radius=1.5).args
    assert recipe == @CLASS@(radius=1.5)
    field = recipe.build(channels=3)
    x = torch.rand(7, 3) - 0.5
    out = field(x)
    assert (out.density >= 0).all() and out.features.shape == (7, 3) and torch.equal(out.density, field.density(x))
''', "prior": '''import pytest
import torch

from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.priors.@MODULE@ import @CLASS@, @NODE@

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


def test_denoising(tiny_if):
    assert @NODE@.execute().args[0] == @CLASS@()
    prior = @CLASS@(str(tiny_if)).load(LoadedPriors(torch.device("cpu")))
    z, noise, t = torch.rand(2, 3, 8, 8) * 2 - 1, torch.randn(2, 3, 8, 8), torch.tensor([300, 700])
    condition = prior.encode_prompts(["a red cube", "a blue sphere"])
    with torch.no_grad():
        z_t = prior.add_noise(z, noise, t)
        z0, = prior.denoise(z_t, t, [condition], None)
        alone, = prior.denoise(z_t[1:], t[1:], [prior.encode_prompts(["a blue sphere"])], None)
    torch.testing.assert_close(z_t * (1 + prior.sigma(t).view(-1, 1, 1, 1)**2).sqrt(),
                               z + prior.sigma(t).view(-1, 1, 1, 1) * noise, atol=1e-4, rtol=1e-4)
    assert z0.isfinite().all()
    torch.testing.assert_close(z0[1:], alone, atol=1e-4, rtol=1e-4)  # a row depends on its own text and noise alone
'''}
