"""ImageDream: MVDream led by a picture of the object (Wang and Shi 2023)."""
from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.clip_pixels import normalized
from ..comfy import PRIOR, Node, io
from ..core.errors import DistillError
from ..models.clip_vision import read_open_ai_vision
from ..models.image_resampler import build_with_pictures, read_resampler
from .latent_prior import LatentCondition, LatentModel
from ..models.model_files import ModelNode, locate, network_dtype
from ..models.multiview_unet import MultiViewFile
from .mvdream import MVDreamPrior, read_latent_model, reading_networks, shared_widgets
from ..models.pipeline_folder import load_network
from .reference_views import ReferenceViews, reference_views

NAME = "ImageDream Prior"
PIXEL, LOCAL = "pixel", "local"
CONTROLS = ("auto", PIXEL, LOCAL)


@dataclass(frozen=True)
class ImageDream:
    """A recipe.

    path     a .pt file as published, or the folder of its conversion for diffusers
    picture  one picture of the object, from its front
    control  "pixel": the picture also stands beside the views as one that is clean already; "local": its tokens alone lead.
             The two models have the same weights' names and shapes: "auto" takes "local" where the file's name says so

    For views, tokenizer, resolution and precision see MVDream.
    """

    path: str
    picture: ReferenceViews
    views: int = 4
    control: str = "auto"
    tokenizer: str = ""
    resolution: int = 256
    precision: str = "auto"

    def __post_init__(self):
        if len(self.picture) != 1:
            raise DistillError(f"{NAME}: it follows one picture, and {len(self.picture)} are connected. Take one of the batch.")
        if self.control not in CONTROLS:
            raise DistillError(f'{NAME}: control must be one of {", ".join(CONTROLS)}, got "{self.control}".')

    def load(self, device: torch.device) -> "ImageDreamPrior":
        with reading_networks(NAME):
            file = MultiViewFile(self.path, NAME)
            if not file.takes_image:
                raise DistillError(f"{NAME}: {self.path} is an MVDream model, which takes no picture. Use the MVDream Prior "
                                   "node.")
            beside = self.control == PIXEL or self.control == "auto" and LOCAL not in Path(self.path).name.lower()
            resampler = read_resampler(file.source, file.prefix, torch.float32)
            build = partial(build_with_pictures, tokens=resampler.latents.shape[1])
            unet = file.read_unet(self.views + beside, network_dtype(self.precision, device), build)
            model = read_latent_model(file, unet, self.tokenizer, self.resolution, device)
            model.extra = {"vision": _read_vision(file), "resampler": resampler}
            return ImageDreamPrior(model, device, self.views, self.picture.rgb, beside)


def _read_vision(file: MultiViewFile) -> torch.nn.Module:
    if file.folder:
        from transformers import CLIPVisionModel

        return load_network(CLIPVisionModel, file.folder / "image_encoder", NAME)
    return read_open_ai_vision(file.source, file.text_prefix + "model.visual.", torch.float32, "gelu", 80)


class LedCondition:
    """Texts [B,L,C], each with the picture (is_led [B] True) or without."""

    def __init__(self, embedding: Tensor, is_led: Tensor):
        self.embedding, self.is_led = embedding, is_led

    def take(self, index: Tensor) -> "LedCondition":
        index = index.to(self.embedding.device)
        return LedCondition(self.embedding[index], self.is_led[index])

    def join(self, rows: Sequence["LedCondition"]) -> "LedCondition":
        return LedCondition(torch.cat([row.embedding for row in rows]), torch.cat([row.is_led for row in rows]))

    def lerp(self, other: "LedCondition", weight: Tensor) -> "LedCondition":
        """Rows (1 - weight) self + weight other; both with the picture, or both without."""
        if not torch.equal(self.is_led, other.is_led):
            raise DistillError(f"{NAME}: texts with the picture and without it cannot be mixed.")
        return LedCondition(torch.lerp(self.embedding, other.embedding, weight.to(self.embedding)[:, None, None]), self.is_led)


class ImageDreamPrior(MVDreamPrior):
    """The Prior contract over an ImageDream model.

    A picture leads twice (Wang and Shi 2023, sec. 3.2): features of CLIP's last layer but one become tokens that every
    cross-attention reads beside the text; and, with pixel control, its latents stand at the end of each group as one more
    view, clean at every timestep, with a camera of zeros, whose prediction is dropped. Where nothing leads, the features
    (before the resampler) and the latents are zeros. As published, but that the latents are the posterior's mean.
    """

    elevation = 5.0

    def __init__(self, model: LatentModel, device: torch.device, views: int, picture: Tensor, is_beside: bool = True):
        """picture [1,S,S,3] in [0,1]."""
        super().__init__(model, device, views, NAME)
        self.is_beside = is_beside
        self._negatives: dict[str, LedCondition] = {}
        tower, resampler = (model.extra.pop(part).to(device) for part in ("vision", "resampler"))  # needed once
        with torch.no_grad():
            picture = picture.clone().to(device)  # the host's are inference tensors
            features = _features(tower, picture)
            # Rows: without the picture, with it.
            self.tokens = resampler(torch.cat([torch.zeros_like(features), features]))
            latents = self._encode(_resize(picture, self.pixels) * 2 - 1)
            self.latents = torch.cat([torch.zeros_like(latents), latents])

    def encode_prompts(self, texts: Sequence[str]) -> LedCondition:
        return self._condition(texts, True)

    def encode_negatives(self, texts: Sequence[str]) -> LedCondition:
        fresh = [text for text in dict.fromkeys(texts) if text not in self._negatives]
        if fresh:  # asked for at every step, so that each text is kept
            encoded = self._condition(fresh, False)
            self._negatives.update({text: encoded.take(torch.tensor([i])) for i, text in enumerate(fresh)})
        rows = [self._negatives[text] for text in texts]
        return rows[0].join(rows)

    def _condition(self, texts: Sequence[str], is_led: bool) -> LedCondition:
        embedding = super().encode_prompts(texts).embedding
        return LedCondition(embedding, torch.full((len(embedding),), is_led, device=embedding.device))

    def predict_rows(self, z_t: Tensor, t: Tensor, conditions: Sequence[LedCondition], vectors: Tensor) -> Tensor:
        rows = len(conditions)
        led = torch.stack([condition.is_led for condition in conditions]).long()
        text = torch.stack([condition.embedding for condition in conditions])
        context = torch.cat([text, self.tokens[led]], 2)
        z, t, vectors = (x.expand(rows, *x.shape) for x in (z_t, t, vectors))
        if self.is_beside:
            led, z, t, context, vectors = (x.unflatten(1, (-1, self.views)) for x in (led, z, t, context, vectors))
            z = torch.cat([z, self.latents[led[:, :, -1:]]], 2)
            t, context = (torch.cat([x, x[:, :, -1:]], 2) for x in (t, context))
            vectors = torch.cat([vectors, torch.zeros_like(vectors[:, :, -1:])], 2)
            z, t, context, vectors = (x.flatten(1, 2) for x in (z, t, context, vectors))
        predicted = self.predict(z.flatten(0, 1), t.flatten(), LatentCondition(context.flatten(0, 1)),
                                 class_labels=vectors.flatten(0, 1).to(self.unet.dtype)).unflatten(0, (rows, -1))
        if self.is_beside:
            predicted = predicted.unflatten(1, (-1, self.views + 1))[:, :, :-1].flatten(1, 2)
        return predicted


def _features(tower: torch.nn.Module, picture: Tensor) -> Tensor:
    """CLIP's hidden states after its last layer but one [B,N,W], float32, of rgb [B,S,S,3] in [0,1]."""
    pixels = _resize(picture, tower.config.image_size, "bicubic").clamp(0, 1)
    return tower(normalized(pixels).to(tower.dtype), output_hidden_states=True).hidden_states[-2].float()


def _resize(picture: Tensor, side: int, mode: str = "bilinear") -> Tensor:
    """[B,S,S,3] -> [B,3,side,side], antialiased as by PIL, which the model was trained with."""
    return F.interpolate(picture.permute(0, 3, 1, 2).float(), (side, side), mode=mode, antialias=True)


class ImageDreamPriorNode(ModelNode, Node):
    @classmethod
    def define_schema(cls):
        model, *widgets, tokenizer = shared_widgets()
        return io.Schema(
            node_id="Distill3D_ImageDreamPrior", display_name=NAME, category="Distill3D/priors",
            description="ImageDream as a prior: four views at once of the object in a picture.",
            search_aliases=["imagedream", "image to 3d", "multi-view diffusion", "image prompt"],
            inputs=[
                model,
                io.Image.Input("image", tooltip="The object from its front, whole and in the middle, on white or with a mask."),
                *widgets,
                io.Combo.Input("control", options=list(CONTROLS), default="auto", tooltip="pixel: the views also see the picture "
                               "itself (sd-v2.1-base-4view-ipmv); local: only what CLIP says of it (…-ipmv-local). auto goes by "
                               "the name of the file or folder."),
                tokenizer,
                io.Mask.Input("mask", optional=True, tooltip="1 on the object, whose surroundings become white. The mask of Load "
                              "Image is the other way round: put Invert Mask between."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss (guidance 5) and Sample Prior. Describe the picture in View "
                                  "Prompt and set its view words to none. Needs Multi-View Orbit, at the picture's elevation: "
                                  "0 to 5 degrees as published.")])

    @classmethod
    def execute(cls, model, image, views=4, resolution=256, precision="auto", control="auto", tokenizer="",
                mask=None) -> io.NodeOutput:
        return io.NodeOutput(ImageDream(
            str(locate(model, NAME)), reference_views(NAME, image, mask), views, control,
            str(locate(tokenizer, NAME)) if tokenizer else "", resolution, precision))
