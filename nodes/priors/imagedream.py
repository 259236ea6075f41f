"""ImageDream: MVDream conditioned on a picture of the object (Wang and Shi 2023)."""
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor

from ...kernels.image.clip_pixels import normalized
from ...kernels.image.resize import resize_square
from ..comfy import PRIOR, Node, io
from ..core.errors import DistillError
from ..core.pictures import Pictures
from ..core.prior import LoadedPriors, TextCondition
from ..models.clip_vision import read_open_ai_vision
from ..models.image_resampler import build_with_pictures, read_resampler
from ..models.model_files import ModelNode, locate, network_dtype
from ..models.multiview_unet import MultiViewFile
from ..models.pipeline_folder import load_network
from ..models.reading import reading_networks
from .latent_prior import LatentModel
from .mvdream import MVDreamPrior, read_latent_model, shared_widgets
from .reference_views import over_white, reference_views

NAME = "ImageDream Prior"
PIXEL, LOCAL = "pixel", "local"
CONTROLS = ("auto", PIXEL, LOCAL)


@dataclass(frozen=True)
class ImageDream:
    """A recipe.

    path     a .pt file as published, or the folder of its conversion for diffusers
    picture  one picture of the object, from its front
    control  "pixel": conditioned on the tokens of the picture, and on the picture as an additional clean view; "local":
             on the tokens only. Both models have the same names and shapes of weights; "auto" means "local" if the name
             of the file contains it

    For views, tokenizer, resolution and precision see MVDream.
    """

    path: str
    picture: Pictures
    views: int = 4
    control: str = "auto"
    tokenizer: str = ""
    resolution: int = 256
    precision: str = "auto"

    def __post_init__(self):
        if len(self.picture) != 1:
            raise DistillError(f"{NAME}: it is conditioned on one picture, and {len(self.picture)} are connected. Take "
                               "one of the batch.")
        if self.control not in CONTROLS:
            raise DistillError(f'{NAME}: control must be one of {", ".join(CONTROLS)}, got "{self.control}".')

    image = ""

    def load(self, priors: LoadedPriors) -> "ImageDreamPrior":
        device = priors.device
        with reading_networks(NAME):
            file = MultiViewFile(self.path, NAME)
            if not file.takes_image:
                raise DistillError(f"{NAME}: {self.path} is an MVDream model, which has no image condition. Use the "
                                   "MVDream Prior node.")
            beside = self.control == PIXEL or self.control == "auto" and LOCAL not in Path(self.path).name.lower()
            resampler = read_resampler(file.source, file.prefix, torch.float32)
            build = partial(build_with_pictures, tokens=resampler.latents.shape[1])
            unet = file.read_unet(self.views + beside, network_dtype(self.precision, device), build)
            model = read_latent_model(file, unet, self.tokenizer, self.resolution, device)
            model.extra = {"vision": _read_vision(file), "resampler": resampler}
            return ImageDreamPrior(model, device, self.views, over_white(self.picture), beside)


def _read_vision(file: MultiViewFile) -> torch.nn.Module:
    if file.folder:
        from transformers import CLIPVisionModel

        return load_network(CLIPVisionModel, file.folder / "image_encoder", NAME)
    return read_open_ai_vision(file.source, file.text_prefix + "model.visual.", torch.float32, "gelu", 80)


class PictureCondition:
    """Texts [B,L,C], each with the picture as a condition (is_conditioned [B] True) or without."""

    def __init__(self, embedding: Tensor, is_conditioned: Tensor):
        self.embedding, self.is_conditioned = embedding, is_conditioned

    def take(self, index: Tensor) -> "PictureCondition":
        index = index.to(self.embedding.device)
        return PictureCondition(self.embedding[index], self.is_conditioned[index])

    def join(self, rows: Sequence["PictureCondition"]) -> "PictureCondition":
        return PictureCondition(torch.cat([row.embedding for row in rows]),
                                torch.cat([row.is_conditioned for row in rows]))

    def lerp(self, other: "PictureCondition", weight: Tensor) -> "PictureCondition":
        """Row by row (1 - weight) * self + weight * other; both with the picture, or both without."""
        if not torch.equal(self.is_conditioned, other.is_conditioned):
            raise DistillError(f"{NAME}: texts with and without the picture cannot be interpolated. Use view words "
                               "none.")
        return PictureCondition(torch.lerp(self.embedding, other.embedding, weight.to(self.embedding)[:, None, None]),
                                self.is_conditioned)


class ImageDreamPrior(MVDreamPrior):
    """The Prior contract over an ImageDream model.

    The picture conditions the network in two ways (Wang and Shi 2023, sec. 3.2). Features of CLIP's penultimate layer
    become tokens for every cross-attention, in addition to the text. With pixel control, its latents are also an
    additional view at the end of each group, clean at every timestep and with a camera of zeros, whose prediction is
    dropped. In the unconditional input, the features (before the resampler) and the latents are zeros. This is as
    published, except that the latents are the posterior's mean.
    """

    elevation = 5.0
    has_text_negatives = False
    published = replace(MVDreamPrior.published, guidance=None)

    def __init__(self, model: LatentModel, device: torch.device, views: int, picture: Tensor, is_beside: bool = True):
        """picture [1,S,S,3] in [0,1]."""
        super().__init__(model, device, views, NAME)
        self.is_beside = is_beside
        tower, resampler = (model.extra.pop(part).to(device) for part in ("vision", "resampler"))  # used once
        with torch.no_grad():
            picture = picture.clone().to(device)  # ComfyUI's are inference tensors
            features = _features(tower, picture)
            # Rows: without the picture, with it.
            self.tokens = resampler(torch.cat([torch.zeros_like(features), features]))
            latents = self._encode(resize_square(_channels_first(picture), self.pixels, antialias=True) * 2 - 1)
            self.latents = torch.cat([torch.zeros_like(latents), latents])

    def encode_prompts(self, texts: Sequence[str]) -> PictureCondition:
        return self._condition(texts, True)

    def encode_negatives(self, texts: Sequence[str]) -> PictureCondition:
        return self._condition(texts, False)

    def _condition(self, texts: Sequence[str], is_conditioned: bool) -> PictureCondition:
        embedding = super().encode_prompts(texts).embedding
        return PictureCondition(embedding, torch.full((len(embedding),), is_conditioned, device=embedding.device))

    def row_views(self, batch: int, conditions: int) -> Tensor:
        views = torch.arange(batch)
        if self.is_beside:  # the row of the picture is the last of each group and has no camera
            views = torch.nn.functional.pad(views.view(-1, self.views), (0, 1), value=-1).flatten()
        return views.repeat(conditions)

    def predict_rows(self, z_t: Tensor, t: Tensor, conditions: Sequence[PictureCondition], vectors: Tensor) -> Tensor:
        rows = len(conditions)
        conditioned = torch.stack([condition.is_conditioned for condition in conditions]).long()
        text = torch.stack([condition.embedding for condition in conditions])
        context = torch.cat([text, self.tokens[conditioned]], 2)
        z, t, vectors = (x.expand(rows, *x.shape) for x in (z_t, t, vectors))
        if self.is_beside:
            conditioned, z, t, context, vectors = (x.unflatten(1, (-1, self.views))
                                                   for x in (conditioned, z, t, context, vectors))
            z = torch.cat([z, self.latents[conditioned[:, :, -1:]]], 2)
            t, context = (torch.cat([x, x[:, :, -1:]], 2) for x in (t, context))
            vectors = torch.cat([vectors, torch.zeros_like(vectors[:, :, -1:])], 2)
            z, t, context, vectors = (x.flatten(1, 2) for x in (z, t, context, vectors))
        predicted = self.predict(z.flatten(0, 1), t.flatten(), TextCondition(context.flatten(0, 1)),
                                 class_labels=vectors.flatten(0, 1).to(self.unet.dtype)).unflatten(0, (rows, -1))
        if self.is_beside:
            predicted = predicted.unflatten(1, (-1, self.views + 1))[:, :, :-1].flatten(1, 2)
        return predicted


def _features(tower: torch.nn.Module, picture: Tensor) -> Tensor:
    """CLIP's hidden states after its penultimate layer [B,N,W], float32, of rgb [B,S,S,3] in [0,1]."""
    pixels = resize_square(_channels_first(picture), tower.config.image_size, antialias=True,
                           mode="bicubic").clamp(0, 1)
    return tower(normalized(pixels).to(tower.dtype), output_hidden_states=True).hidden_states[-2].float()


def _channels_first(picture: Tensor) -> Tensor:
    """[B,S,S,3] -> [B,3,S,S]. It is then resized with a low-pass filter, as by PIL, which the model was trained
    with."""
    return picture.permute(0, 3, 1, 2).float()


class ImageDreamPriorNode(ModelNode, Node):
    advanced = ("views", "precision", "control", "tokenizer")

    @classmethod
    def define_schema(cls):
        model, *widgets, tokenizer = shared_widgets()
        return io.Schema(
            node_id="Distill3D_ImageDreamPrior", display_name=NAME, category="Distill3D/priors",
            description="ImageDream as a prior: four views denoised jointly, conditioned on a picture of the object.",
            search_aliases=["imagedream", "image to 3d", "multi-view diffusion", "image prompt"],
            inputs=[
                model,
                io.Image.Input("image", tooltip="The whole object from the front, centred, on white or with "
                                                "a mask."),
                *widgets,
                io.Combo.Input("control", options=list(CONTROLS), default="auto", tooltip="pixel: also conditioned on "
                               "the picture as a view (sd-v2.1-base-4view-ipmv); local: on its CLIP features only "
                               "(…-ipmv-local). auto: by the name of the file or folder."),
                tokenizer,
                io.Mask.Input("mask", optional=True, tooltip="1 on the object; the background becomes white. Put "
                              "Invert Mask after the mask of Load Image."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss (guidance 5) and Sample Prior. Describe the picture "
                                  "in View Prompt and set its view words to none. Needs Multi-View Orbit, at the "
                                  "picture's elevation: 0 to 5 degrees as published.")])

    @classmethod
    def execute(cls, model, image, views=4, resolution=256, precision="auto", control="auto", tokenizer="",
                mask=None) -> io.NodeOutput:
        return io.NodeOutput(ImageDream(
            str(locate(model, NAME)), reference_views(NAME, image, mask), views, control,
            str(locate(tokenizer, NAME)) if tokenizer else "", resolution, precision))
