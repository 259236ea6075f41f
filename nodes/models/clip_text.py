"""CLIP text encoders in their three published layouts, and what latent models read of them."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Sequence

import torch
from torch import Tensor

from ..comfy import host
from ..core.errors import DistillError, MissingPackage
from ..core.prior import aligned
from .checkpoint_file import CheckpointFile, read_module
from .prompt_weights import Token, weighted_pieces, windows

TOKENS = 77
HUGGING_FACE = "transformer."  # below "cond_stage_model." (SD 1) or "conditioner.embedders.0." (SD XL)
OPEN_CLIP = "model."           # below "cond_stage_model." (SD 2) or "conditioner.embedders.1." (SD XL)


class ClipText:
    """A CLIP text model and its tokenizer.

    layer  which hidden states are given: "last" with the final norm (SD 1), "penultimate" without it (SD XL)
    """

    def __init__(self, model: torch.nn.Module, tokenizer: Any, layer: str = "last"):
        self.model, self.tokenizer, self.layer = model, tokenizer, layer

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Hidden states [B,77 n,C] and the pooled text [B,P] (projected where the model has a projection), float32.

        n is the number of windows of the longest text. Texts of fewer are repeated, which changes nothing for
        attention. The pooled text is that of the first window. Weights scale the difference from the empty text, token
        by token, as in ComfyUI.
        """
        divided = [self._windows(text) for text in texts]
        rows = [window for windows in divided for window in windows]
        weights = torch.tensor([[weight for _, weight in row] for row in rows])
        is_weighted = bool((weights != 1).any())
        hidden, pooled = self._encode(rows + self._windows("") * is_weighted)
        if is_weighted:
            nothing, hidden = hidden[-1:], hidden[:-1]
            scaled = nothing + (hidden - nothing) * weights.to(hidden)[..., None]
            hidden = torch.where((weights != 1).to(hidden.device)[..., None], scaled, hidden)
        counts = [len(windows) for windows in divided]
        whole = aligned([part.flatten(0, 1)[None] for part in hidden.split(counts)])
        first = torch.tensor([sum(counts[:i]) for i in range(len(counts))], device=pooled.device)
        return torch.cat(whole), pooled[first]

    def _encode(self, rows: Sequence[Sequence[Token]]) -> tuple[Tensor, Tensor]:
        """Hidden states [N,77,C] and pooled texts [N,P] of windows of tokens."""
        device = next(self.model.parameters()).device
        numbers = torch.tensor([[number for number, _ in row] for row in rows], device=device)
        out = self.model(numbers, output_hidden_states=True)
        hidden = out.last_hidden_state if self.layer == "last" else out.hidden_states[-2]
        pooled = out.text_embeds if hasattr(out, "text_embeds") else out.pooler_output
        return hidden.float(), pooled.float()

    def _windows(self, text: str) -> list[list[Token]]:
        pieces = [(self.tokenizer(piece, add_special_tokens=False, verbose=False).input_ids, weight)
                  for piece, weight in weighted_pieces(text)]
        return windows(pieces, TOKENS, self.tokenizer.bos_token_id, self.tokenizer.eos_token_id,
                       self.tokenizer.pad_token_id)


def read_hugging_face_clip(source: CheckpointFile, prefix: str, dtype=None) -> torch.nn.Module:
    """CLIPTextModel (OpenAI's CLIP-L in Stable Diffusion 1 and XL) from the weights below `prefix`."""
    from transformers import CLIPTextConfig, CLIPTextModel

    shapes = {key.removeprefix("text_model."): shape for key, shape in source.shapes_below(prefix).items()}
    with expecting(source, "CLIP text encoder"):
        vocabulary, width = shapes["embeddings.token_embedding.weight"]
        config = CLIPTextConfig(
            vocab_size=vocabulary, hidden_size=width, projection_dim=width, hidden_act="quick_gelu",
            num_attention_heads=_heads(width),
            max_position_embeddings=shapes["embeddings.position_embedding.weight"][0],
            num_hidden_layers=count_layers(shapes, r"encoder\.layers\.(\d+)\."), pad_token_id=vocabulary - 1,
            intermediate_size=shapes["encoder.layers.0.mlp.fc1.weight"][0], bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1)
    own = _own_prefix(CLIPTextModel, config)

    def rename(key):
        key = key.removeprefix("text_model.")
        return None if key == "embeddings.position_ids" else own + key

    return read_module(lambda: CLIPTextModel(config), source.below(prefix), source, rename, dtype)


def read_open_clip(source: CheckpointFile, prefix: str, penultimate: bool = True, dtype=None) -> torch.nn.Module:
    """OpenCLIP's text tower (ViT-H in Stable Diffusion 2, bigG in XL) from the weights below `prefix`.

    penultimate  leave the last layer out and normalise what the one before gives (SD 2). Otherwise all layers and the
                 projection are kept (SD XL takes hidden states and the pooled text from different depths)
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    shapes = source.shapes_below(prefix)
    with expecting(source, "OpenCLIP text encoder"):
        vocabulary, width = shapes["token_embedding.weight"]
        layers = count_layers(shapes, r"transformer\.resblocks\.(\d+)\.") - penultimate
        config = CLIPTextConfig(
            vocab_size=vocabulary, hidden_size=width, projection_dim=shapes["text_projection"][1], hidden_act="gelu",
            num_attention_heads=_heads(width), max_position_embeddings=shapes["positional_embedding"][0],
            num_hidden_layers=layers, intermediate_size=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
            bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=0)
    kind = CLIPTextModel if penultimate else CLIPTextModelWithProjection
    split, below = _split_open_clip(source, prefix, layers, penultimate)
    own = _own_prefix(kind, config)
    return read_module(lambda: kind(config), below, split,
                       lambda key: key if key == "text_projection.weight" else own + key, dtype)


OPEN_CLIP_NAMES = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
              "attn.out_proj": "self_attn.out_proj"}


def _split_open_clip(source, prefix, layers, penultimate):
    """The weights under transformers' names: query, key and value lie in one tensor there. Returns a source and its
    keys."""
    weights: dict[str, Tensor] = {}
    for key, full in source.below(prefix).items():
        tensor = source.tensor(full)
        match = re.fullmatch(
            r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)|"
            r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)", key)
        if match and int(match[1] or match[4]) >= layers:
            continue
        if match and match[4]:
            for letter, part in zip("qkv", tensor.chunk(3)):
                weights[f"encoder.layers.{match[4]}.self_attn.{letter}_proj.{match[5]}"] = part
        elif match:
            weights[f"encoder.layers.{match[1]}.{OPEN_CLIP_NAMES.get(match[2], match[2])}.{match[3]}"] = tensor
        elif key == "text_projection":
            if not penultimate:
                weights["text_projection.weight"] = tensor.T.contiguous()
        elif key in _OPEN_CLIP_ENDS:
            weights[_OPEN_CLIP_ENDS[key]] = tensor
    return InMemory(source, weights), {key: key for key in weights}


_OPEN_CLIP_ENDS = {"token_embedding.weight": "embeddings.token_embedding.weight",
                   "positional_embedding": "embeddings.position_embedding.weight",
                   "ln_final.weight": "final_layer_norm.weight", "ln_final.bias": "final_layer_norm.bias"}


class InMemory:
    """Renamed tensors of a checkpoint, where `read_module` expects the file itself."""

    def __init__(self, source: CheckpointFile, weights: dict[str, Tensor]):
        self.path, self.name, self._weights = source.path, source.name, weights
        self.shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}

    def tensor(self, key: str) -> Tensor:
        return self._weights[key]


def tokenizer_folder(chosen: str, name: str) -> Path:
    """The folder of CLIP's tokenizer: `chosen`, or where the host keeps one. Raises DistillError where there is
    none."""
    folder = Path(chosen) if chosen else host().clip_tokenizer()
    if folder is None:
        raise DistillError(f"{name}: a single file holds no tokenizer. Put vocab.json and merges.txt of CLIP "
                           "(openai/clip-vit-large-patch14) into the folder text_encoders/clip_tokenizer of the "
                           "models, or into another below the models and choose it as tokenizer.")
    return folder


def read_tokenizer(folder: Path, name: str, pad: str | None = None):
    """CLIP's tokenizer from a folder with vocab.json and merges.txt (or tokenizer.json).

    pad  the token that fills texts up, where it is another than the folder says ("!" in Stable Diffusion 2)
    """
    try:
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise MissingPackage(error.name or "transformers", name) from error
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True, **({"pad_token": pad} if pad else {}))
    except Exception as error:  # the tokenizers raise whatever they like for a damaged file
        raise DistillError(f"{name}: the tokenizer in {folder} cannot be read ({error}). It needs vocab.json and "
                           "merges.txt of CLIP.") from error


def _heads(width):
    """All published CLIP text models have heads of 64 channels."""
    return max(width // 64, 1)


def count_layers(shapes: dict[str, tuple[int, ...]], pattern: str) -> int:
    """One more than the largest number in the first group of `pattern`."""
    return max(int(match[1]) for key in shapes if (match := re.match(pattern, key))) + 1


def _own_prefix(kind, config):
    """transformers 4 keeps the network of a CLIPTextModel below "text_model.", later versions do not."""
    with torch.device("meta"):
        return "text_model." if any(key.startswith("text_model.") for key in kind(config).state_dict()) else ""


class expecting:
    """What is missing while sizes are read becomes a sentence."""

    def __init__(self, source: CheckpointFile, what: str):
        self.source, self.what = source, what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, (KeyError, ValueError, IndexError)):
            raise DistillError(f"{self.source.name}: {self.source.path} holds no {self.what} where one was expected "
                               f"(at {error}). Choose the whole checkpoint of the model.") from error
