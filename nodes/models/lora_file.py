"""LoRA files as trainers write them (kohya, diffusers, LyCORIS), added to the weights of networks."""
from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..core.errors import DistillError
from .checkpoint_file import CheckpointFile
from .ldm_names import ldm_state

# The end of a key, and its name here. The part before it names the module.
_ENDS = {
    "lora_down.weight": "down", "lora_up.weight": "up", "lora_mid.weight": "middle", "lora_A.weight": "down",
    "lora_B.weight": "up", "lora_A.default.weight": "down", "lora_B.default.weight": "up", "lora.down.weight": "down",
    "lora.up.weight": "up", "alpha": "alpha", "dora_scale": "dora_scale", "diff": "diff", "diff_b": "diff_b",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "lokr_w1",
                               "lokr_w2", "lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2")}}
_OLDEST = re.compile(r"(.+)\.processor\.(to_[qkv]|to_out)_lora\.(down|up)\.weight")  # diffusers before 0.20


def add_lora(source: CheckpointFile, unet: nn.Module, texts: list[nn.Module], strength: float,
             warn: Callable[[str], None]) -> None:
    """Adds strength * change to the weights that the file names, in place: W + strength * scale * change, computed in
    float32.

    LoRA      up down, scale alpha / rank (Hu et al. 2021, sec. 4.1), for convolutions as in LoCon
    LoHa      (a1 b1) * (a2 b2), scale alpha / rank (Hyeon-Woo et al. 2021, eq. 2)
    LoKr      the Kronecker product of w1 and w2, each whole or a product; scale alpha / rank if one is a product

    Raises DistillError, beginning with the node of `source`, where the file is of another model or holds no change;
    changes to modules that the networks have not give a warning.
    """
    modules = _modules(unet, texts)
    found, unknown = _sorted(source)
    known = {name: parts for name, parts in found.items() if name in modules}
    unknown += [name for name in found if name not in modules]
    if not known:
        raise DistillError(f"{source.name}: {source.path} changes no weight of this model ({len(unknown)} names are "
                           "unknown). Choose a LoRA of the same family (1.5, 2.1 or XL).")
    if unknown:
        warn(f'{source.name}: {source.path.name} also changes {len(unknown)} modules that this model has not, such as '
             f'"{unknown[0][:100]}". They are left out.')
    with torch.no_grad():
        for name, parts in known.items():
            module = modules[name]
            if "dora_scale" in parts:
                raise DistillError(f"{source.name}: {source.path} is a DoRA, whose magnitudes are not read. Choose a "
                                   "LoRA.")
            for kind, target in (("weight", module.weight), ("bias", module.bias)):
                change = _change(parts, kind, source)
                if change is None or target is None:
                    continue
                if change.numel() != target.numel():
                    raise DistillError(f'{source.name}: in {source.path}, the change of "{name[:100]}" has the shape '
                                       f"{list(change.shape)}; the model's weight has {list(target.shape)}. It belongs "
                                       "to another model.")
                target.copy_(target.float() + strength * change.reshape(target.shape))


def _sorted(source: CheckpointFile) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Keys of the file by module and kind, and those that are of no known kind."""
    found: dict[str, dict[str, str]] = {}
    unknown = []
    for key in source:
        if old := _OLDEST.fullmatch(key):
            name, kind = f"{old[1]}.{old[2].replace('to_out', 'to_out.0')}", old[3]
        else:
            end = next((end for end in sorted(_ENDS, key=len, reverse=True) if key.endswith("." + end)), None)
            if end is None:
                unknown.append(key)
                continue
            name, kind = key[:-len(end) - 1], _ENDS[end]
        found.setdefault(_plain(name), {})[kind] = key
    return found, unknown


def _plain(name: str) -> str:
    """One spelling for all trainers: words joined by "_", the network in front."""
    name = name.replace(".", "_").removeprefix("base_model_model_")
    for start, network in (("lora_unet_", "unet_"), ("lycoris_unet_", "unet_"), ("diffusion_model_", "unet_"),
                           ("lora_te1_", "clip1_"), ("lora_te2_", "clip2_"), ("lora_te_", "clip1_"),
                           ("text_encoder_2_", "clip2_"), ("text_encoder_", "clip1_")):
        if name.startswith(start):
            name = network + name[len(start):]
            break
    return re.sub(r"^(clip\d_)text_model_", r"\1", name)


def _modules(unet: nn.Module, texts: list[nn.Module]) -> dict[str, nn.Module]:
    """Linear layers and convolutions under every spelling that a file may have."""
    found = {}
    for network, part in zip(("unet", "clip1", "clip2"), [unet, *texts]):
        for name, module in part.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                found[_plain(f"{network}_{name}")] = module
    named_by_ldm = re.compile(r"down_blocks|up_blocks|mid_block|conv_|time_")
    blocks = {name: module for name, module in unet.named_modules()
              if isinstance(module, (nn.Linear, nn.Conv2d)) and named_by_ldm.match(name)}
    named = ldm_state({f"{name}.weight": module for name, module in blocks.items()}, unet.config.layers_per_block)
    return found | {_plain(f"unet_{name.removesuffix('.weight')}"): module for name, module in named.items()}


def _change(parts: dict[str, str], kind: str, source: CheckpointFile) -> Tensor | None:
    """The change of a module's weight or bias, float32; None where the file has none."""
    def get(name: str) -> Tensor:
        if name not in parts:
            raise DistillError(f'{source.name}: {source.path} lacks the part "{name}" beside '
                               f'"{next(iter(parts.values()))}". It may be cut off: download it again.')
        return source.tensor(parts[name]).float()

    if kind == "bias":
        return get("diff_b") if "diff_b" in parts else None
    if "diff" in parts:
        return get("diff")
    if "hada_w1_a" in parts:
        rank = get("hada_w1_b").shape[0]
        return _scale(parts, rank, get) * _product(get, "hada_w1", "hada_t1" in parts and get("hada_t1")) * _product(
            get, "hada_w2", "hada_t2" in parts and get("hada_t2"))
    if any(name.startswith("lokr_") for name in parts):
        return _kronecker(parts, get)
    if "down" not in parts and "up" not in parts:
        return None
    down, up = get("down"), get("up")
    if "middle" in parts:
        change = torch.einsum("or,rskl,si->oikl", up.flatten(1), get("middle"), down.flatten(1))
    else:
        change = (up.flatten(1) @ down.flatten(1)).view(len(up), *down.shape[1:])
    return _scale(parts, len(down), get) * change


def _product(get: Callable[[str], Tensor], name: str, core: Tensor | bool) -> Tensor:
    a, b = get(f"{name}_a"), get(f"{name}_b")
    if isinstance(core, Tensor):  # of a convolution
        return torch.einsum("rskl,si,ro->oikl", core, b, a)
    return (a.flatten(1) @ b.flatten(1)).view(len(a), *b.shape[1:])


def _kronecker(parts: dict[str, str], get: Callable[[str], Tensor]) -> Tensor:
    """LoKr: w2 may be a convolution's, w1 is a matrix."""
    ranks = [get(f"lokr_w{side}_b").shape[0] for side in (1, 2) if f"lokr_w{side}_b" in parts]
    first = get("lokr_w1") if "lokr_w1" in parts else get("lokr_w1_a") @ get("lokr_w1_b")
    if "lokr_w2" in parts:
        second = get("lokr_w2")
    else:
        second = _product(get, "lokr_w2", "lokr_t2" in parts and get("lokr_t2"))
    first = first.view(*first.shape, *[1] * (second.ndim - 2))
    return (_scale(parts, ranks[-1], get) if ranks else 1.0) * torch.kron(first, second.contiguous())


def _scale(parts: dict[str, str], rank: int, get: Callable[[str], Tensor]) -> float:
    """alpha / rank; 1 where the file has no alpha."""
    return float(get("alpha").reshape(-1)[0]) / rank if "alpha" in parts else 1.0
