"""Stable Diffusion 1.5, 2.1 and XL as priors, from a diffusers folder or a single file."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..comfy import PRIOR, FileNames, Node, host, io
from ..core.errors import DistillError
from ..core.prior import LoadedPriors
from ..core.trained_on import TEXT_VIEWS, TrainedOn
from ..models.checkpoint_file import CheckpointFile
from ..models.clip_text import (
    HUGGING_FACE,
    OPEN_CLIP,
    ClipText,
    read_hugging_face_clip,
    read_open_clip,
    read_tokenizer,
    tokenizer_folder,
)
from ..models.ldm_layout import UNET, VAE, read_unet, read_vae
from ..models.lora_file import add_lora
from ..models.model_files import ModelNode, choices, locate, network_dtype, vae_dtype
from ..models.noise import VARIANCE_PRESERVING, check_prediction, scaled_linear_noise, zero_terminal
from ..models.pipeline_folder import load_network, read_json, read_scheduler
from ..models.reading import reading_networks
from .latent_prior import LatentModel, LatentPrior

NAME = "Stable Diffusion Prior"
FIRST, SECOND = "cond_stage_model.", "conditioner.embedders."
SCALING, XL_SCALING = 0.18215, 0.13025  # of latents
V_NORM = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"


@dataclass(frozen=True)
class StableDiffusion:
    """A recipe.

    path        a diffusers folder, or a .safetensors / .ckpt file
    tokenizer   folder with CLIP's vocab.json and merges.txt, for single files; "": that of ComfyUI
    vae         folder or file of another autoencoder, also a tiny one (AutoencoderTiny); "": the model's own
    resolution  side of the model's input pictures, pixels; 0: that of its training
    prediction  "auto", "epsilon" or "v_prediction"
    precision   of the networks: "auto", "float32", "float16" or "bfloat16"
    compiled    compile the UNet by torch.compile: a slow first step, and faster ones after it
    lora        file of a LoRA of kohya, diffusers or LyCORIS, added to UNet and text encoders; "": none
    lora_strength  factor of the LoRA
    """

    path: str
    tokenizer: str = ""
    vae: str = ""
    resolution: int = 0
    prediction: str = "auto"
    precision: str = "auto"
    compiled: bool = False
    lora: str = ""
    lora_strength: float = 1.0

    image = ""

    def load(self, priors: LoadedPriors) -> LatentPrior:
        with reading_networks(NAME):
            path, device = Path(self.path), priors.device
            model = self._read_folder(path, device) if path.is_dir() else self._read_file(path, device)
            if self.lora:
                add_lora(CheckpointFile(self.lora, NAME), model.unet, [text.model for text in model.texts],
                         self.lora_strength, host().warn)
            if self.compiled:
                model.unet = torch.compile(model.unet)
            prior = LatentPrior(model, device)
            # Guidance: 50 in RichDreamer, 100 + 1 in threestudio's DreamFusion and Magic3D.
            prior.name, prior.trained_on = NAME, TrainedOn(prior.pixels, view_words=TEXT_VIEWS, guidance=(50.0, 101.0))
            return prior

    def _read_folder(self, folder: Path, device) -> LatentModel:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        config = read_json(folder / "unet" / "config.json", NAME)
        unet = load_network(UNet2DConditionModel, folder / "unet", NAME, network_dtype(self.precision, device))
        noise, prediction = read_scheduler(folder / "scheduler", NAME)
        is_xl = (folder / "text_encoder_2").is_dir()
        vae = self._other_vae(device, is_xl, _scaling(folder, is_xl)) or load_network(
            AutoencoderKL, folder / "vae", NAME, vae_dtype(self.precision, device, is_xl))
        texts = [ClipText(load_network(CLIPTextModel, folder / "text_encoder", NAME),
                          read_tokenizer(folder / "tokenizer", NAME), "penultimate" if is_xl else "last")]
        if is_xl:
            texts.append(ClipText(load_network(CLIPTextModelWithProjection, folder / "text_encoder_2", NAME),
                                  read_tokenizer(folder / "tokenizer_2", NAME), "penultimate"))
        return LatentModel(unet, vae, texts, noise, self._prediction(prediction),
                           self._size(vae, config["sample_size"]))

    def _read_file(self, path: Path, device) -> LatentModel:
        source = CheckpointFile(path, NAME)
        if not source.below(UNET):
            raise DistillError(f'{NAME}: {path} has no weights below "{UNET}", so it is not a Stable Diffusion '
                               'checkpoint. Choose a whole checkpoint, not a LoRA, a VAE or a UNet alone.')
        dtype = network_dtype(self.precision, device)
        unet = read_unet(source, dtype=dtype)
        if unet.config.in_channels != unet.config.out_channels:
            raise DistillError(f"{NAME}: the UNet in {path} takes {unet.config.in_channels} channels: it is made for "
                               "inpainting or for an image condition. Choose a text-to-image model, or the node of "
                               "that model.")
        is_xl = any(key.startswith(SECOND) for key in source)
        is_second = unet.config.use_linear_projection and not is_xl  # whose two kinds look alike
        prediction = "epsilon"
        if "v_pred" in source:  # a mark without content, as ComfyUI and trainers write it
            prediction = "v_prediction"
        elif is_second:
            prediction = _guess_prediction(source) if self.prediction == "auto" else self.prediction
        if "edm_mean" in source or "edm_vpred.sigma_max" in source:
            raise DistillError(f"{NAME}: {path} was trained with the noise of EDM (Playground 2.5 and the like), which "
                               "this node lacks. In ComfyUI, use Load Checkpoint and Prior from MODEL.")
        scaling = XL_SCALING if is_xl else SCALING
        vae = self._other_vae(device, is_xl, scaling) or read_vae(source, scaling=scaling,
                                                                  dtype=vae_dtype(self.precision, device, is_xl))
        noise = zero_terminal(scaled_linear_noise()) if "ztsnr" in source else scaled_linear_noise()
        own = 128 if is_xl else 96 if prediction == "v_prediction" else 64
        return LatentModel(unet, vae, self._texts(source, is_xl), noise, self._prediction(prediction),
                           self._size(vae, own))

    def _texts(self, source: CheckpointFile, is_xl: bool) -> list[ClipText]:
        folder = tokenizer_folder(self.tokenizer, NAME)
        usual, filled = read_tokenizer(folder, NAME), read_tokenizer(folder, NAME, pad="!")
        if is_xl:
            return [ClipText(read_hugging_face_clip(source, SECOND + "0." + HUGGING_FACE), usual, "penultimate"),
                    ClipText(read_open_clip(source, SECOND + "1." + OPEN_CLIP, penultimate=False), filled,
                             "penultimate")]
        if source.below(FIRST + HUGGING_FACE):
            return [ClipText(read_hugging_face_clip(source, FIRST + HUGGING_FACE), usual)]
        return [ClipText(read_open_clip(source, FIRST + OPEN_CLIP), filled)]

    def _other_vae(self, device, is_xl: bool, scaling: float):
        """The autoencoder of `vae`; None if that is "". scaling: latent scaling factor of the model's training, which
        is not in the file."""
        if not self.vae:
            return None
        from diffusers import AutoencoderKL, AutoencoderTiny

        path, dtype = Path(self.vae), vae_dtype(self.precision, device, is_xl)
        if path.is_file():
            source = CheckpointFile(path, NAME)
            return read_vae(source, VAE if source.below(VAE) else "", scaling, dtype)
        config = read_json(path / "config.json", NAME)
        if config.get("_class_name") == "AutoencoderTiny":
            return load_network(AutoencoderTiny, path, NAME, dtype)
        vae = load_network(AutoencoderKL, path, NAME, dtype)
        if "scaling_factor" not in config:
            vae.register_to_config(scaling_factor=scaling)
        return vae

    def _prediction(self, found: str) -> str:
        return check_prediction(found if self.prediction == "auto" else self.prediction, NAME)

    def _size(self, vae, own: int) -> int:
        factor = 2 ** (len(vae.config.block_out_channels) - 1)
        if self.resolution % factor:
            raise DistillError(f"{NAME}: the resolution {self.resolution} is not a multiple of {factor}, which one "
                               "latent pixel covers.")
        return self.resolution // factor or own


def _scaling(folder: Path, is_xl: bool) -> float:
    """The latent scaling factor of a diffusers folder's autoencoder, or the default if it has none."""
    config = folder / "vae" / "config.json"
    found = read_json(config, NAME).get("scaling_factor") if config.is_file() else None
    return float(found) if isinstance(found, (int, float)) else XL_SCALING if is_xl else SCALING


def _guess_prediction(source: CheckpointFile) -> str:
    """Guesses between Stable Diffusion 2.1 (velocity) and its base (noise), which have the same shapes. The bias of the
    v model's last attention norm has a standard deviation above 0.09 (comfy/supported_models.py, SD20)."""
    guess = "epsilon"
    if V_NORM in source and source.tensor(V_NORM).float().std(correction=0) > 0.09:
        guess = "v_prediction"
    host().warn(f'{NAME}: {source.path.name} does not state its prediction; "{guess}" is assumed from its weights. Set '
                '"prediction" if samples are noise.')
    return guess


class StableDiffusionPriorNode(ModelNode, Node):
    advanced = ("prediction", "precision", "vae", "tokenizer", "compile")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_StableDiffusionPrior", display_name=NAME, category="Distill3D/priors",
            description="Stable Diffusion 1.5, 2.1 or XL as a prior, from a diffusers folder or a single file.",
            search_aliases=["sd", "sdxl", "stable diffusion", "checkpoint", "text to 3d"],
            inputs=[
                io.Combo.Input("model", options=choices(), tooltip="A file of the checkpoints folder, or a folder of "
                               "the diffusers folder."),
                io.Combo.Input("prediction", options=["auto", *VARIANCE_PRESERVING], default="auto",
                               tooltip="What the network "
                               "predicts. A diffusers folder states it; for files of Stable Diffusion 2 it is "
                               "guessed."),
                io.Int.Input("resolution", default=0, min=0, max=2048, step=8, tooltip="Side of the model's input "
                             "pictures, pixels. 0: that of its training (512, 768 or 1024)."),
                io.Combo.Input("precision", options=["auto", "float32", "float16", "bfloat16"], default="auto",
                               tooltip="Of the networks: auto is half precision on a GPU, float32 on the CPU. Latents "
                               "stay float32."),
                io.Combo.Input("vae", options=FileNames(["", *choices("vae")]), default="", optional=True,
                               tooltip="Another autoencoder, e.g. a "
                               "tiny one, which makes steps faster. Empty: the model's own."),
                io.String.Input("tokenizer", default="", optional=True, tooltip="Folder below the models folder with "
                                "CLIP's vocab.json and merges.txt. Only needed for single files outside ComfyUI."),
                io.Boolean.Input("compile", default=False, optional=True, tooltip="torch.compile: the first step takes "
                                 "a minute, the others are faster. Needs a compiler."),
                io.Combo.Input("lora", options=FileNames(["", *choices("loras")]), default="", optional=True,
                               tooltip="A LoRA of the loras folder in the format of kohya, diffusers or LyCORIS, added "
                               "to UNet and text encoders. Empty: none."),
                io.Float.Input("lora_strength", default=1.0, min=-10.0, max=10.0, step=0.05, optional=True,
                               tooltip="Factor of the LoRA."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For SDS Loss and Sample Prior.")])

    @classmethod
    def execute(cls, model, prediction="auto", resolution=0, precision="auto", vae="", tokenizer="",
                compile=False, lora="", lora_strength=1.0) -> io.NodeOutput:
        return io.NodeOutput(StableDiffusion(
            str(locate(model, NAME)), str(locate(tokenizer, NAME)) if tokenizer else "",
            str(locate(vae, NAME, "vae")) if vae else "", resolution, prediction, precision, compile,
            str(locate(lora, NAME, "loras")) if lora else "", lora_strength))
