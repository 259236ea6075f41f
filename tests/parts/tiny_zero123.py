"""Tiny Zero123 models in the published formats, and a second implementation of them from the formulas."""

import functools
import json

import torch
import torch.nn.functional as F

from published import ldm_unet, ldm_vae, random_weights

UNET = dict(width=32, multipliers=(1, 2), layers=1, depths=(0, 1), context=24)
VAE = dict(widths=(32, 32), layers=1)
TOWER = dict(width=128, layers=2, patch=4, grid=4, projection=24)
PIXELS = 64  # latents of 32x32, which this autoencoder makes half as large as pictures


def open_ai_vision(width=1024, layers=24, patch=14, grid=16, projection=768):
    """Shapes of OpenAI CLIP's image tower (ViT-L/14 unless told otherwise)."""
    shapes = {"class_embedding": (width,), "positional_embedding": (grid**2 + 1, width), "proj": (width, projection),
              "conv1.weight": (width, 3, patch, patch)}
    for norm in ("ln_pre", "ln_post"):
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        for name, shape in (("attn.out_proj", (width, width)), ("ln_1", (width,)), ("mlp.c_fc", (4 * width, width)),
                            ("mlp.c_proj", (width, 4 * width)), ("ln_2", (width,))):
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
    return shapes


@functools.cache
def parts(inputs=8):
    """Weights by part, under LDM's names without prefix; "average" are the UNet's that are to be used."""
    unet = ldm_unet(**UNET, inputs=inputs)
    return {"trained": random_weights(unet, seed=1), "average": random_weights(unet, seed=2),
            "vae": random_weights(ldm_vae(**VAE), seed=3), "tower": random_weights(open_ai_vision(**TOWER), seed=4),
            "projection": random_weights({"weight": (24, 28), "bias": (24,)}, seed=5)}


def write_checkpoint(path, inputs=8, without=()):
    """A .ckpt as the trainer wrote it: the weights, their averages, schedule, what is left of CLIP's text half."""
    part = parts(inputs)
    state = {"betas": torch.zeros(1000), "alphas_cumprod": torch.ones(1000), "logvar": torch.zeros(1000)}
    state |= {"model.diffusion_model." + key: value for key, value in part["trained"].items()}
    state |= {"model_ema.diffusion_model" + key.replace(".", ""): value for key, value in part["average"].items()}
    state |= {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7, dtype=torch.int)}
    state |= {"first_stage_model." + key: value for key, value in part["vae"].items()}
    state |= {"cond_stage_model.model.visual." + key: value for key, value in part["tower"].items()}
    state |= {"cond_stage_model.model." + key: torch.zeros(shape) for key, shape in {
        "positional_embedding": (77, 24), "text_projection": (24, 24), "logit_scale": (), "ln_final.weight": (24,),
        "ln_final.bias": (24,), "token_embedding.weight": (50, 24)}.items()}
    state |= {"cc_projection." + key: value for key, value in part["projection"].items()}
    state = {key: value for key, value in state.items() if not any(key.startswith(prefix) for prefix in without)}
    torch.save({"epoch": 3, "global_step": 105000, "pytorch-lightning_version": "1.4.2", "callbacks": {},
                "state_dict": state, "lr_schedulers": [{"last_epoch": 1}], "optimizer_states": []}, path)
    return path


@functools.cache
def networks():
    """The UNet and the autoencoder as diffusers builds and converts them."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders import single_file_utils as single

    part = parts()
    unet = UNet2DConditionModel(
        in_channels=8, out_channels=4, sample_size=32, layers_per_block=1, block_out_channels=(32, 64),
        cross_attention_dim=24, attention_head_dim=8, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))
    state = {"model.diffusion_model." + key: value for key, value in part["average"].items()}
    unet.load_state_dict(single.convert_ldm_unet_checkpoint(state, dict(unet.config)))
    vae = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
                        block_out_channels=(32, 32), layers_per_block=1, latent_channels=4, scaling_factor=0.18215)
    vae.load_state_dict(single.convert_ldm_vae_checkpoint({"first_stage_model." + key: value
                                                           for key, value in part["vae"].items()},
                                                          dict(vae.config)))
    return unet.eval(), vae.eval()


def write_folder(folder, projection="clip_camera_projection", extension=".safetensors"):
    """A diffusers folder in one of the two published forms, its weights in one of the two published formats."""
    from diffusers import DDIMScheduler
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    unet, vae = networks()
    tower = CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=128, intermediate_size=512, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4,
        projection_dim=24, hidden_act="quick_gelu"))
    tower.load_state_dict(_tower_by_hand(parts()["tower"]), strict=True)
    # The older names of the autoencoder's attention, which folders of 2022 and 2023 have.
    olden = {key.replace("to_q.", "query.").replace("to_k.",
                                                    "key.").replace("to_v.",
                                                                    "value.").replace("to_out.0.", "proj_attn."):
             value for key, value in vae.state_dict().items()}
    names = {"clip_camera_projection": "proj.", "cc_projection": "projection."}
    linear = {names[projection] + key: value for key, value in parts()["projection"].items()}
    for name, config, state in (("unet", unet, unet.state_dict()), ("vae", vae, olden), (projection, None, linear),
                                ("image_encoder", tower, tower.state_dict())):
        (folder / name).mkdir(parents=True)
        if config is None:
            (folder / name / "config.json").write_text('{"embedding_dim": 24, "additional_embeddings": 4}')
        elif name == "image_encoder":
            config.config.save_pretrained(folder / name)
        else:
            config.save_config(folder / name)
        stem = ("diffusion_pytorch_model" if name != "image_encoder" else "model"
                if extension != ".bin" else "pytorch_model")
        state = {key: value.contiguous() for key, value in state.items()}
        if extension == ".bin":
            torch.save(state, folder / name / (stem + extension))
        else:
            save_file(state, folder / name / (stem + extension), {"format": "pt"})
    DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", clip_sample=False, set_alpha_to_one=False,
                  steps_offset=1).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Zero123Pipeline"}))
    return folder


def _tower_by_hand(weights):
    """OpenAI's names under transformers', one by one."""
    ours = {"vision_model.embeddings.class_embedding": weights["class_embedding"],
            "vision_model.embeddings.patch_embedding.weight": weights["conv1.weight"],
            "vision_model.embeddings.position_embedding.weight": weights["positional_embedding"],
            "visual_projection.weight": weights["proj"].T}
    for kind in ("weight", "bias"):
        ours |= {f"vision_model.pre_layrnorm.{kind}": weights[f"ln_pre.{kind}"],
                 f"vision_model.post_layernorm.{kind}": weights[f"ln_post.{kind}"]}
        for i in range(TOWER["layers"]):
            old, new = f"transformer.resblocks.{i}", f"vision_model.encoder.layers.{i}"
            q, k, v = weights[f"{old}.attn.in_proj_{kind}"].chunk(3)
            ours |= {f"{new}.self_attn.q_proj.{kind}": q, f"{new}.self_attn.k_proj.{kind}": k,
                     f"{new}.self_attn.v_proj.{kind}": v,
                     f"{new}.self_attn.out_proj.{kind}": weights[f"{old}.attn.out_proj.{kind}"],
                     f"{new}.mlp.fc1.{kind}": weights[f"{old}.mlp.c_fc.{kind}"],
                     f"{new}.mlp.fc2.{kind}": weights[f"{old}.mlp.c_proj.{kind}"],
                     f"{new}.layer_norm1.{kind}": weights[f"{old}.ln_1.{kind}"],
                     f"{new}.layer_norm2.{kind}": weights[f"{old}.ln_2.{kind}"]}
    return ours


def embed_by_hand(weights, picture, dtype=torch.float64):
    """CLIP's embedding [B,P] of pictures [B,3,H,W] in [-1,1], line by line from the published code."""
    weights = {key: value.to(dtype) for key, value in weights.items()}
    width, _, patch, _ = weights["conv1.weight"].shape
    side = round((len(weights["positional_embedding"]) - 1) ** 0.5) * patch
    resize = bicubic_matrix(picture.shape[-1], side)
    x = (resize @ picture.to(dtype) @ resize.T + 1) / 2
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073], dtype=dtype).view(3, 1, 1)
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711], dtype=dtype).view(3, 1, 1)
    x = F.conv2d((x - mean) / deviation, weights["conv1.weight"], stride=patch).flatten(2).transpose(1, 2)
    x = torch.cat([weights["class_embedding"].expand(len(x), 1, -1), x], 1) + weights["positional_embedding"]

    def norm(name, x):
        return F.layer_norm(x, (width,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    def linear(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = norm("ln_pre", x)
    for i in range(sum(key.endswith("ln_1.bias") for key in weights)):
        block = f"transformer.resblocks.{i}"
        attention = torch.nn.MultiheadAttention(width, width // 64, batch_first=True, dtype=dtype)
        prefix = f"{block}.attn."
        attention.load_state_dict({key[len(prefix):]: value
                                   for key, value in weights.items() if key.startswith(prefix)})
        y = norm(f"{block}.ln_1", x)
        with torch.no_grad():
            x = x + attention(y, y, y, need_weights=False)[0]
        y = linear(f"{block}.mlp.c_fc", norm(f"{block}.ln_2", x))
        x = x + linear(f"{block}.mlp.c_proj", y * torch.sigmoid(1.702 * y))
    return norm("ln_post", x[:, 0]) @ weights["proj"]


def bicubic_matrix(size, target):
    """[target, size]: cubic convolution (Keys 1981) with a = -0.75, corners aligned, borders repeated."""
    matrix = torch.zeros(target, size, dtype=torch.float64)
    for row in range(target):
        place = row * (size - 1) / (target - 1)
        for column in range(int(place) - 1, int(place) + 3):
            x = abs(place - column)
            near = 1.25 * x**3 - 2.25 * x**2 + 1
            far = -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3
            matrix[row, min(max(column, 0), size - 1)] += near if x <= 1 else far if x < 2 else 0.0
    return matrix


def predict_by_hand(z_t, t, pose, picture, is_led):
    """The noise that one picture [3,H,H] in [-1,1] seen from `pose` [4] predicts for z_t [4,h,w] at step t."""
    unet, vae = networks()
    part = parts()
    with torch.no_grad():
        embedding = embed_by_hand(part["tower"], picture[None]).float()
        token = torch.cat([embedding, pose[None]], 1) @ part["projection"]["weight"].T + part["projection"]["bias"]
        beside = vae.encode(picture[None]).latent_dist.mode()
        if not is_led:
            token, beside = token * 0, beside * 0
        return unet(torch.cat([z_t[None], beside], 1), t, token[:, None]).sample[0]
