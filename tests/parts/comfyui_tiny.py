"""Tiny random models, built with ComfyUI's own classes in inference mode, as its loaders do; for comfyui_measure.py."""
import sys

import comfy.options

sys.argv = [sys.argv[0], "--cpu"]
comfy.options.enable_args_parsing()

import comfy.cldm.cldm  # noqa: E402
import comfy.controlnet  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.sd1_clip  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.weight_adapter  # noqa: E402
import folder_paths  # noqa: E402,F401  the host has imported it before it loads a pack
import torch  # noqa: E402
from comfy.ldm.models.autoencoder import AutoencoderKL  # noqa: E402
from comfy.model_base import SD3, BaseModel, ModelType  # noqa: E402

CPU, SIDE = torch.device("cpu"), 64
UNET = dict(image_size=32, in_channels=4, out_channels=4, model_channels=32, num_res_blocks=[1, 1], channel_mult=(1, 2),
            transformer_depth=[1, 1], transformer_depth_output=[1, 1, 1, 1], transformer_depth_middle=1, context_dim=16,
            use_spatial_transformer=True, legacy=False, use_temporal_attention=False, adm_in_channels=None,
            use_linear_in_transformer=False, dtype=torch.float32)
MMDIT = dict(in_channels=16, patch_size=2, depth=2, input_size=None, adm_in_channels=16, context_size=16,
             pos_embed_max_size=8, num_patches=64, context_embedder_config={"target": "torch.nn.Linear",
                                                      "params": {"in_features": 16, "out_features": 128}},
             dtype=torch.float32)
TEXT = dict(hidden_size=16, intermediate_size=32, num_attention_heads=2, num_hidden_layers=2, projection_dim=16)


def randomize(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.named_parameters():
        drawn = torch.randn(value.shape, generator=generator)
        value.data = (drawn * 0.1 + 1 if value.ndim == 1
                      and name.endswith("weight") else drawn / value.shape[1:].numel() ** 0.5)
    for name, value in module.named_buffers():
        if name.endswith("pos_embed"):  # left as memory had it, until a file is read
            value.copy_(torch.randn(value.shape, generator=generator))
    return module


@torch.inference_mode()
def make_model(kind):
    if kind == "sdxl":
        config = comfy.supported_models.SDXL({**UNET, "num_classes": "sequential", "adm_in_channels": 16 + 6 * 256,
                                              "use_linear_in_transformer": True})
        config.unet_config["num_head_channels"] = 16
        model = config.get_model({})
    elif kind == "sd3":
        model = SD3(comfy.supported_models.SD3(MMDIT))
    elif kind == "v":
        config = comfy.supported_models.SD20({**UNET, "use_linear_in_transformer": True})
        config.unet_config["num_head_channels"] = 16
        model = config.get_model({"output_blocks.11.1.transformer_blocks.0.norm1.bias": torch.tensor([1.0, -1.0])})
    else:
        config = comfy.supported_models.SD15(UNET)
        config.sampling_settings = {"shift": 3.0} if kind == "flow" else {}
        model = BaseModel(config, model_type=ModelType.FLOW) if kind == "flow" else config.get_model({})
    randomize(model.diffusion_model)
    kinds = {"v": ModelType.V_PREDICTION, "flow": ModelType.FLOW, "sd3": ModelType.FLOW}
    assert model.model_type == kinds.get(kind, ModelType.EPS)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=CPU, offload_device=CPU)


@torch.inference_mode()
def make_vae(channels=4):
    config = {"params": dict(embed_dim=channels, ddconfig=dict(
        double_z=True, z_channels=channels, resolution=SIDE, in_channels=3, out_ch=3, ch=32, ch_mult=[1, 1, 1, 1],
        num_res_blocks=1, attn_resolutions=[], dropout=0.0))}
    vae = comfy.sd.VAE(sd=randomize(AutoencoderKL(**config["params"])).state_dict(), config=config)
    vae.latent_channels = channels  # which it reads from the weights of known VAEs only
    return vae


@torch.inference_mode()
def make_clip():
    target = comfy.supported_models.SD15(UNET).clip_target()
    clip = comfy.sd.CLIP(target, model_options={"clip_l_model_config": TEXT})
    randomize(clip.cond_stage_model)
    return clip


@torch.inference_mode()
def with_lora(model):
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    shape = model.model.state_dict()[key].shape
    generator = torch.Generator().manual_seed(5)
    up, down = torch.randn(shape[0], 2, generator=generator), torch.randn(2, shape[1], generator=generator)
    clone = model.clone()
    adapter = comfy.weight_adapter.LoRAAdapter(set(), (up, down, 2.0, None, None, None))
    assert clone.add_patches({key: adapter}, 0.8) == [key]
    return clone


@torch.inference_mode()
def with_control(positive, negative, percent=(0.0, 1.0)):
    settings = {key: UNET[key] for key in ("image_size", "in_channels", "model_channels", "num_res_blocks",
                                           "channel_mult", "transformer_depth", "transformer_depth_middle",
                                           "context_dim", "legacy", "use_spatial_transformer")}
    net = randomize(comfy.cldm.cldm.ControlNet(hint_channels=3, num_heads=8, operations=comfy.ops.disable_weight_init,
                                               dtype=torch.float32, **settings), 3)
    control = comfy.controlnet.ControlNet(net, load_device=CPU, manual_cast_dtype=None)
    hint = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    control.set_cond_hint(hint, 1.0, percent)
    return tuple([[entry[0], {**entry[1], "control": control, "control_apply_to_uncond": False}] for entry in entries]
                 for entries in (positive, negative))
