"""Diffusers Prior: a text-to-image model in a diffusers folder, of the kind that its model_index.json names."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor

from ..comfy import PRIOR, Node, io
from ..core.errors import DistillError
from ..core.prior import LoadedPriors, Prior, TextCondition
from ..core.trained_on import TEXT_VIEWS, TrainedOn
from ..models.denoiser import Denoiser
from ..models.family import Family, ModelFolder
from ..models.family_flux import Flux
from ..models.family_pixart import PixArtAlpha, PixArtSigma
from ..models.family_sd3 import StableDiffusion3
from ..models.model_files import ModelNode, choices, locate, network_dtype, vae_dtype
from ..models.pipeline_folder import load_network, read_json, read_noise
from ..models.reading import reading_networks
from ..models.t5_text import DROP, EIGHT_BIT, KEEP, TEXT_ENCODERS, PassingText, as_written, check_eight_bit, move
from .deepfloyd_if import DeepFloydIF
from .latent_prior import LatentSpacePrior
from .stable_diffusion import StableDiffusion

NAME = "Diffusers Prior"
FAMILIES: tuple[Family, ...] = (StableDiffusion3(), Flux(), PixArtAlpha(), PixArtSigma())
STABLE_DIFFUSION = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
DEEPFLOYD_IF = "IFPipeline"


@dataclass(frozen=True)
class DiffusersModel:
    """A recipe.

    path          of the folder
    resolution    side of the model's input pictures, pixels; 0: that of its training
    precision     of the networks: "auto", "float32", "float16" or "bfloat16"
    text_encoder  whether the text encoders are kept after the prompt is encoded, one of TEXT_ENCODERS
    guidance      scale that guidance-distilled models take as an input (FLUX.1-dev); others ignore it
    """

    path: str
    resolution: int = 0
    precision: str = "auto"
    text_encoder: str = DROP
    guidance: float = 3.5

    image = ""

    def load(self, priors: LoadedPriors) -> Prior:
        kind = str(read_json(Path(self.path) / "model_index.json", NAME).get("_class_name"))
        if kind in STABLE_DIFFUSION:
            return StableDiffusion(self.path, resolution=self.resolution, precision=self.precision).load(priors)
        if kind == DEEPFLOYD_IF:
            return DeepFloydIF(self.path, self.precision, self.text_encoder).load(priors)
        for family in FAMILIES:
            if family.pipeline == kind:
                with reading_networks(NAME):
                    return TransformerPrior(family, self, priors.device)
        known = ", ".join((*STABLE_DIFFUSION, DEEPFLOYD_IF, *(family.pipeline for family in FAMILIES)))
        raise DistillError(f"{NAME}: model_index.json in {self.path} names a {kind}. Known are {known}. Use the prior "
                           "node of that model, or Prior from MODEL, which takes whatever ComfyUI runs.")


class TransformerPrior(LatentSpacePrior):
    """The Prior contract over a text-to-image transformer with an autoencoder.

    The transformer is loaded on first use, after text encoders that are not kept are dropped: T5-XXL and the
    transformer of FLUX.1 take 9 and 24 GB in half precision.
    """

    name = NAME
    trained_on = TrainedOn(view_words=TEXT_VIEWS)

    def __init__(self, family: Family, recipe: DiffusersModel, device: torch.device):
        from diffusers import AutoencoderKL

        self.family, self.guidance, self.device = family, recipe.guidance, device
        self.dtype = network_dtype(recipe.precision, device, family.half)
        is_8bit, keeps = recipe.text_encoder == EIGHT_BIT, recipe.text_encoder == KEEP
        if is_8bit:
            check_eight_bit(device, NAME)
        self.folder = ModelFolder(Path(recipe.path), device, self.dtype, NAME, is_8bit)
        self.vae = move(load_network(AutoencoderKL, self.folder.path / "vae", NAME,
                                     vae_dtype(recipe.precision, device, True, family.half)),
                        device)
        self.channels = self.vae.config.latent_channels
        self.size = self._size(recipe.resolution)
        noise, prediction = read_noise(self.folder.path / "scheduler", NAME, (self.size // family.patch) ** 2)
        self.denoiser = Denoiser(noise.to(device), prediction)
        self.text = PassingText(partial(_read_texts, family, self.folder), {}, device, NAME, keeps, as_written)

    def _size(self, resolution: int) -> int:
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        if resolution % (factor * self.family.patch):
            raise DistillError(f"{NAME}: the resolution {resolution} is not a multiple of "
                               f"{factor * self.family.patch}, the side of one token in pixels.")
        return resolution // factor or self.folder.config("transformer").get("sample_size") or 128

    @cached_property
    def _transformer(self) -> torch.nn.Module:
        import diffusers

        kind = getattr(diffusers, self.family.transformer)
        with reading_networks(NAME):
            return move(load_network(kind, self.folder.path / "transformer", NAME, self.dtype), self.device)

    @property
    def network(self) -> torch.nn.Module:
        self.text.rest()
        return self._transformer

    def encode_prompts(self, texts: Sequence[str]) -> TextCondition:
        return self.text(texts)

    def predict(self, z_t: Tensor, t: Tensor, condition: TextCondition) -> Tensor:
        network = self.network
        typed = TextCondition(*(None if part is None else part.to(self.dtype) for part in condition.parts))
        return self.family.predict(network, z_t.to(self.dtype), self.denoiser.noise.time(t), typed, self.guidance)


def _read_texts(family: Family, folder: ModelFolder):
    with reading_networks(NAME):
        return family.read_texts(folder)


class DiffusersPriorNode(ModelNode, Node):
    advanced = ("precision", "text_encoder")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_DiffusersPrior", display_name=NAME, category="Distill3D/priors",
            description="A text-to-image model in a diffusers folder as a prior: Stable Diffusion 3 and 3.5, FLUX.1, "
                        "PixArt, and what Stable Diffusion Prior and DeepFloyd IF Prior load.",
            search_aliases=["sd3", "stable diffusion 3.5", "flux", "pixart", "flow model", "text to 3d"],
            inputs=[
                io.Combo.Input("model", options=choices("diffusers"), tooltip="A folder of the diffusers folder, with "
                               "model_index.json."),
                io.Int.Input("resolution", default=0, min=0, max=2048, step=8, tooltip="Side of the model's input "
                             "pictures, pixels. 0: that of its training, mostly 1024. Smaller is faster: 512 "
                             "works with most."),
                io.Combo.Input("precision", options=["auto", "float32", "float16", "bfloat16"], default="auto",
                               tooltip="Of the networks: auto is half precision on a GPU, float32 on the CPU. Latents "
                               "stay float32."),
                io.Combo.Input("text_encoder", options=list(TEXT_ENCODERS), default=DROP, tooltip="The T5 text encoder "
                               "takes about 9 GB. load and drop: drop it before the transformer is loaded; keep: "
                               "keep both; 8-bit: half the size, then dropped, needs bitsandbytes and CUDA."),
                io.Float.Input("guidance", default=3.5, min=0.0, max=100.0, step=0.1, tooltip="Guidance scale that "
                               "FLUX.1-dev takes as an input; other models ignore it. The guidance of "
                               "the loss is applied in addition; set it to 1 to use this one only."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss, VSD Loss and Sample Prior. Flow models (Stable "
                                  "Diffusion 3, FLUX.1): weighting flow.")])

    @classmethod
    def execute(cls, model, resolution=0, precision="auto", text_encoder=DROP, guidance=3.5) -> io.NodeOutput:
        return io.NodeOutput(DiffusersModel(str(locate(model, NAME, "diffusers")), resolution, precision, text_encoder,
                                            guidance))
