"""Caption reading: pretraining of the text encoder, before the diffusion model is trained.

DeepFloyd IF's text encoder is pretrained on much text before its UNet is trained. A small encoder that starts from
nothing would have to learn through the UNet that "a red cube on top of a blue sphere" has a top, which takes longer
than learning to denoise. Here the hidden state at every position of the text is trained to predict all facts of its
caption, in three minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Linear

from ...kernels.shapes.sdf import PATTERNS, PRIMITIVES
from ..shapes.caption import COLORS, parse_shape

_COLORS = tuple(COLORS)
# color, primitive, pattern, axis of both parts
_CLASSES = 2 * (len(_COLORS) + 1, len(PRIMITIVES) + 1, len(PATTERNS), 2)
_HARMONICS = (1, 2, 4)  # of the azimuth: front and back, front and sides, the faces of a cube


class Facts(NamedTuple):
    """Facts of N texts: classes int64 [N, 8] of two parts, view float32 [N, 7] of the camera, or [N, 0] without one."""

    classes: Tensor
    view: Tensor


def caption_facts(captions: Sequence[str], azimuth: np.ndarray, elevation: np.ndarray) -> Facts:
    """Facts of captions in the language of shapes, and of their views, degrees [N]."""
    return Facts(shape_facts(captions).classes, view_facts(azimuth, elevation))


def shape_facts(captions: Sequence[str]) -> Facts:
    """Facts of captions alone."""
    known = {caption: _part_classes(caption) for caption in dict.fromkeys(map(str, captions))}
    return Facts(torch.tensor([known[str(caption)] for caption in captions]), torch.zeros(len(captions), 0))


def view_facts(azimuth: np.ndarray, elevation: np.ndarray) -> Tensor:
    """[N, 7] of cameras, degrees [N]."""
    azimuth, elevation = torch.as_tensor(azimuth).float().deg2rad(), torch.as_tensor(elevation).float().deg2rad()
    angles = torch.stack([k * azimuth for k in _HARMONICS], -1)
    return torch.cat([angles.cos(), angles.sin(), elevation[:, None]], -1)


def _part_classes(caption):
    """Color, primitive, pattern and axis of both parts; a missing part has the class after the last."""
    classes = []
    for part in parse_shape(caption).parts:
        classes += [_COLORS.index(part.color), PRIMITIVES.index(part.primitive), PATTERNS.index(part.pattern),
                    int(part.axis == "x")]
    return classes + [len(_COLORS), len(PRIMITIVES), 0, 0] * (2 - len(classes) // 4)


def learn_to_read(text_encoder: nn.Module, encode: Callable, facts: Facts, prompt: Callable, steps: int, seed: int,
                  callback: Callable | None = None, batch: int = 64, lr: float = 3e-3) -> float:
    """Train `text_encoder` in place with linear heads on its hidden states, which are discarded afterwards.

    encode    encode(texts) -> the hidden states [B, L, C] of `text_encoder` that are trained to predict the facts
    prompt    prompt(rng, row) -> the text of a row of `facts`
    callback  callback(step, steps, loss); an exception that it raises ends the training

    Returns the last loss: cross entropies of the classes plus twice the mean square error of the view.
    Every random choice comes from (seed, step).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = Linear(text_encoder.config.hidden_size, sum(_CLASSES) + facts.view.shape[1]).to(text_encoder.device)
    parameters = [*text_encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.99), weight_decay=1e-3)
    loss = torch.zeros(())
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        rows = rng.integers(len(facts.view), size=batch)
        texts = [prompt(rng, row) for row in rows]
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 2.0 * (1.0 - step / steps))
        loss = reading_loss(heads(encode(texts)), Facts(*(fact[rows] for fact in facts)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if callback is not None:
            callback(step + 1, steps, loss.item())
    return loss.item()


def reading_loss(said: Tensor, facts: Facts) -> Tensor:
    """Loss of the predictions `said` of every position [B, L, C] against the facts of its text [B]."""
    classes = said[..., : sum(_CLASSES)].split(_CLASSES, dim=-1)
    view = said[..., sum(_CLASSES) :]
    facts = Facts(*(fact.to(said.device) for fact in facts))
    wrong = [F.cross_entropy(logits.transpose(1, 2), facts.classes[:, i, None].expand(logits.shape[:2]))
             for i, logits in enumerate(classes)]
    far = (view - facts.view[:, None]).square()
    return sum(wrong) + 2.0 * far.sum() / max(far.numel(), 1)
