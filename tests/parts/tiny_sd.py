"""Tiny Stable Diffusion models in the published formats, single files and diffusers folders, with the same weights."""

import json
import string

import torch

from published import hugging_face_clip, ldm_unet, ldm_vae, open_clip, random_weights

CHARACTERS = "!" + string.ascii_lowercase + string.digits + ",.-"
VOCABULARY = [*CHARACTERS, *(c + "</w>" for c in CHARACTERS), "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
WIDTHS = {"sd1": 64, "sd2": 64, "xl": (64, 128)}
UNETS = {
    "sd1": dict(width=32, multipliers=(1, 2, 2), layers=1, depths=(1, 1, 0), context=64),
    "sd2": dict(width=64, multipliers=(1, 2, 2), layers=1, depths=(1, 1, 0), context=64, linear=True),
    "xl": dict(width=64, multipliers=(1, 2), layers=1, depths=(0, 2), middle=2, context=192, linear=True,
               pooled=6 * 256 + 128),
}
VAE = dict(widths=(32, 32, 32, 32), layers=1)


def write_tokenizer(folder, pad=None):
    """CLIP's tokenizer with a vocabulary of letters: bytes, then merges, then the two specials, as published."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\nr e\nre d</w>\n")
    specials = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
                "pad_token": pad or "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer",
                                                              "model_max_length": 77, **specials}))
    (folder / "special_tokens_map.json").write_text(json.dumps(specials))
    return folder


def state_dict(kind, inputs=4):
    """The weights of a whole single-file checkpoint."""
    state = random_weights(ldm_unet(**UNETS[kind], inputs=inputs), "model.diffusion_model.", 1)
    state |= random_weights(ldm_vae(**VAE), "first_stage_model.", 2)
    size = len(VOCABULARY)
    if kind == "sd1":
        state |= random_weights(hugging_face_clip(64, 2, size), "cond_stage_model.transformer.", 3)
    elif kind == "sd2":
        state |= random_weights(open_clip(64, 3, size), "cond_stage_model.model.", 3)
    else:
        state |= random_weights(hugging_face_clip(64, 3, size), "conditioner.embedders.0.transformer.", 3)
        state |= random_weights(open_clip(128, 3, size), "conditioner.embedders.1.model.", 4)
    state |= {"alphas_cumprod": torch.ones(1000), "betas": torch.zeros(1000)}
    return state


def write_file(path, kind, inputs=4):
    """A .safetensors, or a .ckpt with the wrapper and a step counter."""
    from safetensors.torch import save_file

    state = state_dict(kind, inputs)
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save({"state_dict": state, "global_step": 3}, path)
    return path


def write_folder(folder, kind, prediction="epsilon"):
    """The same weights as a diffusers folder, converted by diffusers' own code."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from diffusers.loaders import single_file_utils as single
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    state = state_dict(kind)
    shared = {"layers_per_block": 1, "norm_num_groups": 32}
    if kind == "xl":
        unet = UNet2DConditionModel(
            **shared, block_out_channels=(64, 128), sample_size=16, cross_attention_dim=192, use_linear_projection=True,
            attention_head_dim=(1, 2), transformer_layers_per_block=(1, 2), addition_embed_type="text_time",
            addition_time_embed_dim=256, projection_class_embeddings_input_dim=6 * 256 + 128,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))
    else:
        widths = (32, 64, 64) if kind == "sd1" else (64, 128, 128)
        unet = UNet2DConditionModel(
            **shared, block_out_channels=widths, sample_size=16, cross_attention_dim=64,
            use_linear_projection=kind == "sd2", attention_head_dim=8 if kind == "sd1" else (1, 2, 2),
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))
    unet.load_state_dict(single.convert_ldm_unet_checkpoint(dict(state), dict(unet.config)))
    vae = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                        block_out_channels=VAE["widths"], layers_per_block=1, latent_channels=4,
                        scaling_factor=0.13025 if kind == "xl" else 0.18215)
    vae.load_state_dict(single.convert_ldm_vae_checkpoint(dict(state), dict(vae.config)))
    size = len(VOCABULARY)
    common = {"vocab_size": size, "bos_token_id": size - 2, "eos_token_id": size - 1, "max_position_embeddings": 77}

    def clip(kind, width, layers, act, weights, pad):
        model = kind(CLIPTextConfig(hidden_size=width, intermediate_size=4 * width, num_attention_heads=width // 64,
                                    num_hidden_layers=layers, hidden_act=act, projection_dim=width, pad_token_id=pad,
                                    **common))
        own = model.state_dict()
        prefix = "text_model." if any(key.startswith("text_model.") for key in own) else ""
        weights = {key if key.startswith("text_projection") else prefix + key.removeprefix("text_model."): value
                   for key, value in weights.items() if "position_ids" not in key}
        model.load_state_dict(weights, strict=False)
        assert set(own) <= set(weights) | {key for key in own if "position_ids" in key}
        return model

    below = lambda prefix: {key[len(prefix):]: value for key, value in state.items() if key.startswith(prefix)}
    if kind == "sd1":
        texts = [clip(CLIPTextModel, 64, 2, "quick_gelu", below("cond_stage_model.transformer."), size - 1)]
    elif kind == "sd2":
        texts = [clip(CLIPTextModel, 64, 2, "gelu", _open_clip_by_hand(below("cond_stage_model.model."), 2, False), 0)]
    else:
        texts = [clip(CLIPTextModel, 64, 3, "quick_gelu", below("conditioner.embedders.0.transformer."), size - 1),
                 clip(CLIPTextModelWithProjection, 128, 3, "gelu",
                      _open_clip_by_hand(below("conditioner.embedders.1.model."), 3, True), 0)]
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, prediction_type=prediction,
                  set_alpha_to_one=False, steps_offset=1).save_pretrained(folder / "scheduler")
    for i, text in enumerate(texts):
        mark = f"_{i + 1}" if i else ""
        text.save_pretrained(folder / f"text_encoder{mark}")
        write_tokenizer(folder / f"tokenizer{mark}", "!" if i or kind == "sd2" else None)
    kind_of_pipeline = "StableDiffusionXLPipeline" if kind == "xl" else "StableDiffusionPipeline"
    index = {"_class_name": kind_of_pipeline, "unet": ["diffusers", "UNet2DConditionModel"],
             "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "DDIMScheduler"],
             "tokenizer": ["transformers", "CLIPTokenizer"], "text_encoder": ["transformers", "CLIPTextModel"]}
    if kind == "xl":
        index |= {"tokenizer_2": ["transformers", "CLIPTokenizer"], "force_zeros_for_empty_prompt": True,
                  "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
    else:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _open_clip_by_hand(weights, layers, projected):
    """OpenCLIP's names under transformers', one by one."""
    renamed = {"embeddings.token_embedding.weight": weights["token_embedding.weight"],
               "embeddings.position_embedding.weight": weights["positional_embedding"],
               "final_layer_norm.weight": weights["ln_final.weight"], "final_layer_norm.bias": weights["ln_final.bias"]}
    if projected:
        renamed["text_projection.weight"] = weights["text_projection"].T.contiguous()
    for i in range(layers):
        theirs, ours = f"transformer.resblocks.{i}", f"encoder.layers.{i}"
        for kind in ("weight", "bias"):
            q, k, v = weights[f"{theirs}.attn.in_proj_{kind}"].chunk(3)
            renamed |= {f"{ours}.self_attn.q_proj.{kind}": q, f"{ours}.self_attn.k_proj.{kind}": k,
                        f"{ours}.self_attn.v_proj.{kind}": v,
                        f"{ours}.self_attn.out_proj.{kind}": weights[f"{theirs}.attn.out_proj.{kind}"],
                        f"{ours}.mlp.fc1.{kind}": weights[f"{theirs}.mlp.c_fc.{kind}"],
                        f"{ours}.mlp.fc2.{kind}": weights[f"{theirs}.mlp.c_proj.{kind}"],
                        f"{ours}.layer_norm1.{kind}": weights[f"{theirs}.ln_1.{kind}"],
                        f"{ours}.layer_norm2.{kind}": weights[f"{theirs}.ln_2.{kind}"]}
    return renamed
