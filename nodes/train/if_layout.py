"""A small text-to-image diffusion model in the layout of DeepFloyd IF stage I.

diffusers' own IFPipeline loads the folder that `save_if_folder` writes, so code for DeepFloyd IF runs
on it. Only the layout is shared; sizes and weights are new.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from ..core.errors import DistillError, MissingPackage
from ..core.view_words import VIEW_WORDS
from ..models.folder_writer import fresh_folder
from ..models.silence import silence
from ..shapes.caption import KNOWN_WORDS

# Velocity (Salimans and Ho 2022, sec. 4), where DeepFloyd predicts noise. At high noise levels an error of the
# predicted noise hardly depends on the picture, so a small model does not learn there which of two colours is on top,
# and at lower levels the noisy picture shows it already. A predicted velocity is nearly the picture itself there.
PREDICTION = "v_prediction"
TOKENS = 77  # prompts are padded to this length, as IFPipeline does
WORDS = ("<pad>", "</s>", "<unk>", ",", *KNOWN_WORDS, *VIEW_WORDS)


def build_unet(channels=(32, 64, 96), resolution=32, text_width=64):
    """A new UNet2DConditionModel: 3 channels in, 3 velocity and 3 variance channels out.

    The variance channels start at weight 0 and bias -1 and stay there: under "learned_range" that is
    the posterior variance of DDPM (Ho et al. 2020, eq. 7).
    Raises DistillError for channels that the layout's groups and heads do not divide.
    """
    import torch

    check_channels(channels)
    UNet2DConditionModel = import_diffusers().UNet2DConditionModel
    levels = len(channels)
    unet = UNet2DConditionModel(
        sample_size=resolution,
        in_channels=3,
        out_channels=6,
        block_out_channels=tuple(channels),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D",) + ("SimpleCrossAttnDownBlock2D",) * (levels - 1),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D",) * (levels - 1) + ("ResnetUpsampleBlock2D",),
        act_fn="gelu",
        cross_attention_dim=channels[-1],
        encoder_hid_dim=text_width,
        encoder_hid_dim_type="text_proj",
        attention_head_dim=16,
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        only_cross_attention=False,
        cross_attention_norm="group_norm",
    )
    with torch.no_grad():
        unet.conv_out.weight[3:] = 0.0
        unet.conv_out.bias[3:] = -1.0
    return unet


def check_channels(channels: Sequence[int]) -> None:
    """Raises DistillError for channels that the layout's groups and heads do not divide."""
    if len(channels) < 2 or any(width < 16 or width % 16 for width in channels) or channels[-1] % 32:
        raise DistillError(
            f"Train Prior: channels are {tuple(channels)}. "
            "Use two or more multiples of 16, the last a multiple of 32, e.g. (32, 64, 96)."
        )


def import_diffusers():
    """The package diffusers. Raises MissingPackage where it, or transformers, is not installed."""
    try:
        import diffusers
        import transformers  # noqa: F401  diffusers has no IFPipeline without it
    except ImportError as error:
        raise MissingPackage(str(error.name), "A prior in the DeepFloyd IF layout") from error
    return diffusers


def build_text_encoder(width=64, layers=2):
    """A new T5EncoderModel over WORDS."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=len(WORDS),
            d_model=width,
            d_kv=16,
            d_ff=2 * width,
            num_layers=layers,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            tie_word_embeddings=False,
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def build_tokenizer():
    """A tokenizer with one token per word of WORDS; "el-15" is one word, an unknown word is <unk>."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Split(Regex(r"[a-z0-9+\-]+|,"), behavior="removed", invert=True)
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=TOKENS
    )


def encode_text(text_encoder, tokenizer, prompts):
    """Hidden states [B, 77, D] of prompts, padded and masked as IFPipeline does. Differentiable in the weights."""
    tokens = tokenizer(
        list(prompts), padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
    ).to(text_encoder.device)
    return text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]


def save_if_folder(path, unet, text_encoder, tokenizer, prediction=PREDICTION):
    """Write a DeepFloyd IF pipeline folder in half precision, replacing what is at `path`.

    The folder appears whole: it is written beside `path` and moved there. The models are not changed.
    """
    import torch

    diffusers = import_diffusers()
    with fresh_folder(path) as fresh, silence():
        diffusers.IFPipeline(
            tokenizer=tokenizer,
            text_encoder=copy.deepcopy(text_encoder).to("cpu", torch.float16),
            unet=copy.deepcopy(unet).to("cpu", torch.float16, memory_format=torch.contiguous_format),
            scheduler=diffusers.DDPMScheduler(
                1000, beta_schedule="squaredcos_cap_v2", variance_type="learned_range", clip_sample=True,
                prediction_type=prediction,
            ),
            safety_checker=None,
            feature_extractor=None,
            watermarker=None,
            requires_safety_checker=False,
        ).save_pretrained(fresh, safe_serialization=True)
