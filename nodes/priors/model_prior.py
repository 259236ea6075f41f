"""Prior from MODEL: any image model that ComfyUI runs, with its LoRAs and ControlNets, as a prior."""
from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...kernels.image.resize import resize_square
from ..comfy import PRIOR, Node, host, io
from ..comfy.model import HostModel, HostVAE, check_pair, encode_text
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.prior import Encoded, LoadedPriors
from ..core.trained_on import TEXT_VIEWS, TrainedOn
from ..models.denoiser import Denoiser, DenoiserPrior
from ..models.model_file import ModelFile
from .model_condition import ModelCondition, Row, groups, stack
from .model_content import Sockets
from .stable_diffusion import StableDiffusion

NAME = "Prior from MODEL"
TIMESTEPS = 1000
POSITIVE, NEGATIVE = "positive", "negative"


@dataclass(frozen=True)
class ModelPriorRecipe:
    """A recipe: ComfyUI's objects "model", "vae", "clip", "positive" and "negative" (the last three may be None), and
    the side of the model's input pictures, in pixels."""

    sockets: Sockets
    resolution: int = 512

    image = ""

    def load(self, priors: LoadedPriors) -> "ModelPrior":
        return ModelPrior(self, priors.device)


class HostNoise:
    """The noise of a ComfyUI model: z_t = signal_t z + noise_t noise, for signal and noise [T]. See models.noise."""

    def __init__(self, signal: Tensor, noise: Tensor):
        self._signal, self._noise = signal, noise
        self.timesteps = len(signal)

    def sigma(self, t: Tensor) -> Tensor:
        return self._noise[t] / self._signal[t]

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return self._signal[t].view(-1, 1, 1, 1) * z + self._noise[t].view(-1, 1, 1, 1) * noise

    def clean(self, z_t: Tensor, t: Tensor, predicted: Tensor, prediction: str) -> Tensor:
        """ComfyUI's models return z0, whatever their networks predict."""
        return predicted

    def time(self, t: Tensor) -> Tensor:
        return t

    def to(self, device: torch.device) -> "HostNoise":
        return HostNoise(self._signal.to(device), self._noise.to(device))


class ModelPrior(DenoiserPrior):
    """The Prior contract over ComfyUI's models.

    z are latents in the model's space (scaled and shifted), float32. Pictures with as many channels as the latents are
    taken as latents. `sigma` is the noise level relative to the signal, not the model's own sigma. For a flow model at
    x = (1 - s) z + s noise it is s / (1 - s). Then (z - z0) / sigma is eps_hat - noise, which equals (1 - s) (v_hat -
    (noise - z)), and (z - z0) / s is v_hat - (noise - z).

    Timesteps are the model's own if it was trained with 1000 of them; otherwise they are thousandths of its schedule.
    The losses apply guidance, so CFG patches of the MODEL, such as rescaling, have no effect.
    """

    name = NAME
    views = 1
    trained_on = TrainedOn(view_words=TEXT_VIEWS)

    def __init__(self, recipe: ModelPriorRecipe, device: torch.device):
        sockets = recipe.sockets
        check_pair(sockets["model"], sockets["vae"], NAME)
        self.device, self.pixels = device, recipe.resolution
        self.model = HostModel(sockets["model"])
        sigmas, signal, noise = self.model.noise_levels(TIMESTEPS)
        if not (bool((signal > 0).all()) and bool((noise > 0).all())):
            raise DistillError(f"{NAME}: {self.model.name} does not mix pictures with noise: it is not a diffusion or "
                               "flow model. Use a model that KSampler can sample from pure noise.")
        self._sigmas = sigmas.to(device)
        self.denoiser = Denoiser(HostNoise(signal, noise).to(device), "x0")
        self.vae = HostVAE(sockets["vae"], device)
        if self.pixels % self.vae.factor:
            raise DistillError(f"{NAME}: the resolution {self.pixels} is not a multiple of {self.vae.factor}, the "
                               "pixels per latent pixel.")
        self.channels, self.size = self.model.channels, self.pixels // self.vae.factor
        self._clip = sockets["clip"]
        self._wired = {} if self._clip is not None else {role: Row(sockets[role], role)
                                                         for role in (POSITIVE, NEGATIVE)}
        self._rows: dict[str, Row] = {}
        self._warned = False

    def encode_prompts(self, texts: Sequence[str]) -> ModelCondition:
        """Each text is encoded once. With conditionings instead of a CLIP, the empty text gives the negative one, and
        every other text the positive one."""
        for text in dict.fromkeys(texts):
            if text not in self._rows:
                self._rows[text] = self._row(text)
        return ModelCondition([self._rows[text] for text in texts])

    def _row(self, text: str) -> Row:
        if not self._wired:
            return Row(encode_text(self._clip, text))
        if text and not self._warned:
            self._warned = True
            host().warn(f"{NAME}: without a CLIP, the prompt and its view words are not used: "
                        'every view has the same "positive". Connect "clip" for view words.')
        return self._wired[POSITIVE if text else NEGATIVE]

    def encode_image(self, rgb: Tensor) -> Encoded:
        z = rgb.permute(0, 3, 1, 2)
        if z.shape[1] == self.channels != 3:
            return Encoded(resize_square(z, self.size, antialias=True))
        picture = resize_square(z, self.pixels, antialias=True)
        # Recomputed in the backward pass: the encoder's activations at 512x512 are larger than everything else
        # together.
        return Encoded(checkpoint(self._encode, picture, use_reentrant=False) if picture.requires_grad
                       else self._encode(picture))

    def _encode(self, picture: Tensor) -> Tensor:
        return self.model.scale(self.vae.encode(picture))

    @torch.no_grad()
    def decode_image(self, z: Tensor) -> Tensor:
        return self.vae.decode(self.model.unscale(z)).to(z.device)

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[ModelCondition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        self._check(conditions)
        results = [torch.empty_like(z_t) for _ in conditions]
        for views in groups(conditions):
            asked = [tuple(condition.rows[view] for view in views) for condition in conditions]
            different = tuple(dict.fromkeys(asked))
            named = {_name(rows, i): stack(rows) for i, rows in enumerate(different)}
            with self.denoiser.attached(torch.as_tensor(views)):
                found = self.model.denoise(z_t[views], self._sigmas[t[views]], named, different)
            for result, rows in zip(results, asked):
                result[views] = found[different.index(rows)].to(result)
        return results

    def _check(self, conditions: Sequence[ModelCondition]) -> None:
        """Raises DistillError for a negative text without a CLIP, as guidance between equal conditions has no
        effect."""
        if self._wired and len(conditions) > 1 and all(row.role == POSITIVE for one in conditions for row in one.rows):
            raise DistillError(
                f'{NAME}: the prompt has a negative text, which needs a CLIP. Connect "clip", or leave '
                               '"negative" of View Prompt empty: then the connected "negative" is used.')

    def private(self) -> "ModelPrior":
        """The same prior with a frozen copy of the network, because ComfyUI moves and patches the original."""
        from ..comfy.network import NetworkCopy

        own = copy.copy(self)
        own.model = NetworkCopy(self.model, NAME)
        own.denoiser = Denoiser(self.denoiser.noise, "x0")
        own.network = own.model.network
        return own

    @property
    def prediction(self) -> str:
        """The parametrisation of the network."""
        return self.model.prediction

    def release(self) -> None:
        self.model.close()


def _name(rows: tuple[Row, ...], place: int) -> str:
    """The names of conditions, by which ComfyUI applies a ControlNet of the positive also to the negative, if
    requested."""
    return rows[0].role if rows[0].role and len(set(rows)) == 1 else f"condition {place}"


def prior_of_file(model: ModelFile, vae: ModelFile, clip: ModelFile | None, resolution: int) -> StableDiffusion:
    """The same prior without ComfyUI: Stable Diffusion only, with model, VAE and CLIP from one file."""
    if clip is None:
        raise DistillError(f'{NAME}: without ComfyUI the text encoder of the checkpoint is needed. Connect "clip".')
    for name, other in (("vae", vae), ("clip", clip)):
        if other != model:
            raise DistillError(f'{NAME}: "model" comes from {model.name} and "{name}" from {other.name}. Without '
                               'ComfyUI both must come from the same Load Checkpoint; ComfyUI itself can mix them.')
    return StableDiffusion(model.path, resolution=resolution)


class PriorFromModelNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_PriorFromModel", display_name=NAME, category="Distill3D/priors",
            description="Any image model that ComfyUI runs as a prior: checkpoints, LoRAs and ControlNets as you wired "
                        "them.",
            search_aliases=["checkpoint", "model", "lora", "controlnet", "flux", "sd3", "sdxl", "text to 3d"],
            inputs=[
                io.Model.Input("model", tooltip="The diffusion or flow model, with its LoRAs and patches. Its CFG "
                               "patches have no effect: the losses apply guidance."),
                io.Vae.Input("vae", tooltip="The VAE that belongs to the model. A copy of its encoder is made, through "
                             "which gradients pass."),
                io.Int.Input("resolution", default=512, min=64, max=2048, step=64, tooltip="Side of the model's "
                             "input pictures, pixels. Best is that of its training (512 for SD 1.5, 1024 for SDXL); "
                             "smaller is faster."),
                io.Clip.Input("clip", optional=True, tooltip="Encodes the prompt with the words of each view. Needed "
                              "unless both conditionings are connected, which it overrides."),
                io.Conditioning.Input("positive", optional=True, tooltip="Used if no clip is connected, for "
                                      "ControlNets and the like. It applies to every view: the text and view words of "
                                      "the prompt are not used."),
                io.Conditioning.Input("negative", optional=True, tooltip="Used if no clip is connected. Leave the "
                                      "negative text of View Prompt empty then."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss and Sample Prior.")])

    @classmethod
    def execute(cls, model, vae, clip=None, positive=None, negative=None, resolution=512) -> io.NodeOutput:
        if clip is None and (positive is None or negative is None):
            missing = " and ".join(f'"{name}"'
                                   for name, given in ((POSITIVE, positive), (NEGATIVE, negative)) if given is None)
            raise DistillError(f'{NAME}: neither "clip" nor {missing} is connected. Connect "clip", or both '
                               'conditionings.')
        if isinstance(model, ModelFile):
            return io.NodeOutput(prior_of_file(model, vae, clip, resolution))
        check_pair(model, vae, NAME)
        return io.NodeOutput(ModelPriorRecipe(Sockets(model=model, vae=vae, clip=clip, positive=positive,
                                                      negative=negative),
                                              resolution))
