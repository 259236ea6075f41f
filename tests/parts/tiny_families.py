"""Tiny Stable Diffusion 3, Flux and PixArt folders with random weights, written by diffusers' own pipelines."""
import torch

from tiny_sd import VOCABULARY, write_tokenizer

KINDS = ("sd3", "flux", "flux-schnell", "pixart-alpha", "pixart-sigma")
CLIP_WIDTHS = (64, 128)
T5_WIDTH = 256


def write(folder, kind):
    """Writes the folder and returns its path."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipeline = _pipeline(kind, folder.parent / "clip_tokenizer")
        for part in ("transformer", "vae"):
            for weight in getattr(pipeline, part).parameters():  # diffusers begins some layers with zeros
                if not weight.any():
                    torch.nn.init.normal_(weight, std=0.2)
        pipeline.save_pretrained(folder)
    return folder


def _pipeline(kind, tokenizer_folder):
    import diffusers
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    write_tokenizer(tokenizer_folder)
    t5 = {"text_encoder": _t5(), "tokenizer": _t5_tokenizer()}
    clips = [CLIPTokenizer.from_pretrained(tokenizer_folder) for _ in range(2)]
    flow = diffusers.FlowMatchEulerDiscreteScheduler
    if kind == "sd3":
        transformer = diffusers.SD3Transformer2DModel(
            sample_size=16, num_layers=2, attention_head_dim=8, num_attention_heads=4, joint_attention_dim=T5_WIDTH,
            caption_projection_dim=32, pooled_projection_dim=sum(CLIP_WIDTHS), pos_embed_max_size=16,
            qk_norm="rms_norm", dual_attention_layers=(0,))
        return diffusers.StableDiffusion3Pipeline(
            transformer, flow(shift=3.0), _vae(16, 0.0609), _clip(CLIPTextModelWithProjection, 64), clips[0],
            _clip(CLIPTextModelWithProjection, 128), clips[1], t5["text_encoder"], t5["tokenizer"])
    if kind.startswith("flux"):
        is_distilled = kind == "flux"
        transformer = diffusers.FluxTransformer2DModel(
            num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=T5_WIDTH,
            pooled_projection_dim=64, guidance_embeds=is_distilled, axes_dims_rope=(4, 6, 6))
        scheduler = flow(shift=3.0, use_dynamic_shifting=True) if is_distilled else flow(shift=1.0)
        return diffusers.FluxPipeline(scheduler, _vae(16, 0.1159), _clip(CLIPTextModel, 64), clips[0],
                                      t5["text_encoder"], t5["tokenizer"], transformer)
    is_sigma = kind == "pixart-sigma"
    transformer = diffusers.PixArtTransformer2DModel(
        num_attention_heads=4, attention_head_dim=12, num_layers=2, cross_attention_dim=48, caption_channels=T5_WIDTH,
        sample_size=16 if is_sigma else 128)  # models of 128 latent pixels are told size and aspect ratio
    scheduler = diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    pipeline = diffusers.PixArtSigmaPipeline if is_sigma else diffusers.PixArtAlphaPipeline
    return pipeline(t5["tokenizer"], t5["text_encoder"], _vae(4, None), transformer, scheduler)


def _vae(channels, shift):
    from diffusers import AutoencoderKL

    return AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                         block_out_channels=(8,) * 4, layers_per_block=1, latent_channels=channels, norm_num_groups=4,
                         scaling_factor=1.5305, shift_factor=shift, use_quant_conv=channels == 4,
                         use_post_quant_conv=channels == 4)


def _clip(kind, width):
    from transformers import CLIPTextConfig

    size = len(VOCABULARY)
    return kind(CLIPTextConfig(vocab_size=size, hidden_size=width, intermediate_size=2 * width, projection_dim=width,
                               num_attention_heads=2, num_hidden_layers=3, bos_token_id=size - 2, eos_token_id=size - 1,
                               pad_token_id=size - 1)).eval()


def _t5():
    from transformers import T5Config, T5EncoderModel

    model = T5EncoderModel(T5Config(vocab_size=64, d_model=T5_WIDTH, d_kv=16, d_ff=64, num_layers=2, num_heads=4,
                                    feed_forward_proj="gated-gelu")).eval()
    with torch.no_grad():
        model.shared.weight.mul_(5)  # so that words, and capitals among them, make a difference
    return model


def _t5_tokenizer():
    from transformers import T5TokenizerFast

    letters = [(letter, -4.0) for letter in "▁abcdefghijklmnopqrstuvwxyzRS"]
    return T5TokenizerFast(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), *letters, ("▁red", -2.0)],
                           extra_ids=0)
