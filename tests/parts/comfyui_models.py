"""Small random models in the published formats, in the model folders of ComfyUI, with CLIP's real vocabulary."""

import torch

WORDS = 49408


def place(server, kind, name):
    path = server.folder / "models" / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_stable_diffusion(path):
    """The least that Load Checkpoint takes for Stable Diffusion 1.5: it knows the UNet by its width, and has one text
    encoder and one autoencoder for it. Half a gigabyte."""
    from safetensors.torch import save_file

    from published import hugging_face_clip, ldm_unet, ldm_vae, random_weights

    half = torch.float16
    state = random_weights(ldm_unet(multipliers=(1, 1), layers=1, depths=(1, 0)), "model.diffusion_model.", 1, half)
    state |= random_weights(ldm_vae(), "first_stage_model.", 2, half)
    state |= random_weights(hugging_face_clip(), "cond_stage_model.transformer.", 3, half)
    save_file(state, path)


def write_tiny_stable_diffusion(path):
    """For Stable Diffusion Prior, which reads any width."""
    from safetensors.torch import save_file

    from published import hugging_face_clip, random_weights
    from tiny_sd import state_dict

    state = {key: value for key, value in state_dict("sd1").items() if not key.startswith("cond_stage_model.")}
    state |= random_weights(hugging_face_clip(64, 2, WORDS), "cond_stage_model.transformer.", 3)
    save_file({key: value.contiguous() for key, value in state.items()}, path)


def write_mvdream(path):
    """With an autoencoder of the published depth, whose latents are 8x8 for the smallest pictures that the node
    takes."""
    from published import hugging_face_clip, ldm_vae, random_weights
    from tiny_mv import unet_weights
    from tiny_sd import VAE

    state = {"model.diffusion_model." + key: value for key, value in unet_weights("sd1").items()}
    state |= random_weights(ldm_vae(**VAE), "first_stage_model.", 2)
    state |= random_weights(hugging_face_clip(64, 2, WORDS), "cond_stage_model.transformer.", 3)
    torch.save(state | {"betas": torch.zeros(1000), "alphas_cumprod": torch.ones(1000)}, path)


def write_zero123(path):
    from tiny_zero123 import write_checkpoint

    write_checkpoint(path)


def write_deepfloyd_if(path):
    from tiny_if import write_tiny_if

    write_tiny_if(path)


def write_picture(path):
    """A red square on nothing."""
    from PIL import Image

    picture = Image.new("RGBA", (40, 30))
    picture.paste((200, 30, 30, 255), (10, 5, 30, 25))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def write_depth(path):
    """The square's depth: nearer on the left."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").rotate(90).resize((40, 30)).convert("RGB").save(path)


def write_normals(path):
    """The square's normals, which face the viewer in OpenCV's axes."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (128, 128, 0)).save(path)
