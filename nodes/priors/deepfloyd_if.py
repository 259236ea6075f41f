"""DeepFloyd IF stage I: a pixel-space text-to-image model, in the diffusers layout as published."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor

from ...kernels.image.resize import resize_square
from ..comfy import PRIOR, Node, io
from ..core.cameras import Cameras
from ..core.prior import Encoded, LoadedPriors, TextCondition
from ..core.trained_on import TEXT_VIEWS, TrainedOn
from ..models.denoiser import Denoiser, DenoiserPrior, each_view
from ..models.if_folder import SCHEDULER, UNET, check_if_folder, has_text_encoder
from ..models.model_files import locate, network_dtype
from ..models.pipeline_folder import load_network, read_scheduler
from ..models.reading import reading_networks
from ..models.t5_text import DROP, EIGHT_BIT, KEEP, TEXT_ENCODERS, PassingText, T5Text, check_eight_bit, move
from ..models.text_embeddings import read_embeddings

NAME = "DeepFloyd IF Prior"


@dataclass(frozen=True)
class DeepFloydIF:
    """A recipe.

    folder        of an IF stage I pipeline (unet, text_encoder, tokenizer, scheduler)
    precision     of the networks: "auto", "float32", "bfloat16" or "float16"
    text_encoder  one of TEXT_ENCODERS
    embeddings    file of Save Text Embeddings; with one, the folder needs no text_encoder and no tokenizer
    """

    folder: str
    precision: str = "auto"
    text_encoder: str = DROP
    embeddings: str = ""

    image = ""

    def load(self, priors: LoadedPriors) -> "IFPrior":
        return IFPrior(self.folder, priors.device, self.precision, self.text_encoder, self.embeddings)


class IFPrior(DenoiserPrior):
    """The Prior contract over an IF-layout folder; sizes are read from its configuration.

    z are pixels in [-1,1] at the network's resolution. The network predicts noise (or velocity, depending on the
    scheduler's configuration) in its first three output channels, and the variance in the last three, which are dropped
    before guidance. The attention mask is used by the text encoder and not passed to the UNet, as in the published
    pipeline.

    The UNet is loaded on first use, after the text encoder is dropped unless it is kept: only one of the two is in
    memory at a time. Inputs and outputs are float32, whatever the networks compute in.
    """

    name = NAME
    views = 1
    # Guidance: threestudio's 20 is 21 in the standard form; with Perp-Neg it is 20.
    trained_on = TrainedOn(64, view_words=TEXT_VIEWS, guidance=(20.0, 101.0))

    def __init__(self, folder: str | Path, device: torch.device, precision: str = "auto", text_encoder: str = DROP,
                 embeddings: str = ""):
        folder = Path(folder)
        reads_texts = not embeddings or has_text_encoder(folder)
        config = check_if_folder(folder, self.name, reads_texts)
        if text_encoder == EIGHT_BIT:
            check_eight_bit(device, self.name)
        with reading_networks(self.name):
            noise, prediction = read_scheduler(folder / SCHEDULER, self.name)
        self.denoiser = Denoiser(noise.to(device), prediction)
        self.folder, self.device, self.dtype = folder, device, network_dtype(precision, device)
        self.channels, self.size = config["in_channels"], config["sample_size"]
        known = read_embeddings(embeddings, config["encoder_hid_dim"], self.name) if embeddings else {}
        load = (partial(T5Text, folder, device, self.dtype, self.name, text_encoder == EIGHT_BIT)
                if reads_texts else None)
        keeps = text_encoder == KEEP
        self.text = load() if keeps and not known else PassingText(load, known, device, self.name, keeps)

    @cached_property
    def unet(self) -> torch.nn.Module:
        from diffusers import UNet2DConditionModel

        with reading_networks(self.name):
            return move(load_network(UNet2DConditionModel, self.folder / UNET, self.name, self.dtype), self.device)

    @property
    def network(self) -> torch.nn.Module:
        self.text.rest()
        return self.unet

    def encode_prompts(self, texts: Sequence[str]) -> TextCondition:
        return self.text(texts)

    def encode_image(self, rgb: Tensor) -> Encoded:
        return Encoded(resize_square(rgb.permute(0, 3, 1, 2), self.size, antialias=True) * 2 - 1)

    def decode_image(self, z: Tensor) -> Tensor:
        return (z.permute(0, 2, 3, 1) * 0.5 + 0.5).clamp(0, 1)

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[TextCondition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        rows, network = len(conditions), self.network
        text = torch.cat([condition.embedding for condition in conditions]).to(self.dtype)
        # The last channels are the variance, which is not used.
        predicted = self.denoiser.call(
            lambda: network(z_t.repeat(rows, 1, 1, 1).to(self.dtype), t.repeat(rows), text).sample[:, :self.channels],
            each_view(len(z_t), rows))
        return [self.denoiser.clean(z_t, t, part) for part in predicted.chunk(rows)]


class DeepFloydIFPriorNode(Node):
    advanced = ("precision", "text_encoder", "embeddings")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_DeepFloydIFPrior", display_name=NAME, category="Distill3D/priors",
            description="DeepFloyd IF stage I as a prior: a large text-to-image model of 64x64 pixels, with no "
                        "autoencoder.",
            search_aliases=["if", "deepfloyd", "pixel diffusion", "imagen", "t5", "text to 3d"],
            inputs=[
                io.String.Input("folder", default="IF-I-XL-v1.0", tooltip="Folder of the model below the diffusers "
                                "folder of the models (or below the output folder), with unet, text_encoder, tokenizer "
                                "and scheduler."),
                io.Combo.Input("precision", options=["auto", "float32", "bfloat16", "float16"], default="auto",
                               tooltip="Of the networks: auto is half precision on a GPU, float32 on the CPU. Pictures "
                               "stay float32."),
                io.Combo.Input("text_encoder", options=list(TEXT_ENCODERS), default=DROP, tooltip="The T5 text encoder "
                               "takes about 9 GB. load and drop: drop it before the UNet is loaded; keep: keep both; "
                               "8-bit: half the size, then dropped, needs bitsandbytes and CUDA."),
                io.String.Input("embeddings", default="", optional=True, tooltip="File of Save Text Embeddings, below "
                                "the output or diffusers folder. Its texts need no text encoder; with it the folder "
                                "may lack text_encoder and tokenizer."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss and Sample Prior. The published model has 64x64 "
                                                   "pixels.")])

    @classmethod
    def execute(cls, folder, precision="auto", text_encoder=DROP, embeddings="") -> io.NodeOutput:
        file = str(locate(embeddings, NAME, "diffusers")) if embeddings else ""
        return io.NodeOutput(DeepFloydIF(str(locate(folder, NAME, "diffusers")), precision, text_encoder, file))
