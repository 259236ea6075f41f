"""DreamFusion, with DeepFloyd IF."""
from ..block import named_files
from ..description import Wire, node
from .dreamfusion_sd import METHOD as BASE

GROUP_1 = "1  Scene: what is optimised"
GROUP_2 = "2  Prior and losses: what it should become"
GROUP_3 = "3  Views, light and the loop"
GROUP_4 = "4  Export"

METHOD = BASE.differing(
    without=["checkpoint_loader_simple", "prior_from_model"],
    numbers={
        "lambertian.activation": "scaled",
        "environment_background.activation": "scaled",
        "sds_loss.prior": Wire("deep_floyd_if_prior"),
        "sds_loss.guidance": 21.0,
        "random_orbit_views.max_elevation": 90.0,
        **named_files("dreamfusion_if"),
    },
    nodes={
        "deep_floyd_if_prior": node("DeepFloydIFPrior", within=GROUP_2),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    notes=(
        """\
## DreamFusion, with DeepFloyd IF
Text to a textured 3D object by score distillation ([Poole et al. 2022](https://arxiv.org/abs/2209.14988)) of DeepFloyd IF. It is a pixel-space model, like that of the paper: gradients do not pass through an autoencoder.

Change the text in **View Prompt** and press Run. The numbers are those of threestudio's `dreamfusion-if`: 10,000 steps of one view with 64x64 pixels, and guidance 20, which is 21 in the standard form of **SDS Loss**.""",
        """\
## Files
The model is gated: accept its licence (DeepFloyd IF License) at [DeepFloyd/IF-I-XL-v1.0](https://huggingface.co/DeepFloyd/IF-I-XL-v1.0), then put the repository as a folder `IF-I-XL-v1.0` into `models/diffusers`. Only `unet`, `text_encoder`, `tokenizer` and `scheduler` are needed.

The smaller IF-I-L-v1.0 and IF-I-M-v1.0 work too: change the folder in **DeepFloyd IF Prior**. Without ComfyUI, `models` is a folder in the working directory, or the one given by `--models`.""",
        """\
## Memory and time
Not measured with this pack. For its own code with these settings, threestudio states about 15 GB of GPU memory while the T5 text encoder encodes the prompt, and about 10 GB afterwards.

If the text encoder does not fit: choose 8-bit in **DeepFloyd IF Prior**, or write a file with **Save Text Embeddings** on another machine and set it as `embeddings`.""",
    ))
