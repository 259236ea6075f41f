"""MVDream."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node

GROUP_1 = "1  Scene: what is optimised"
GROUP_2 = "2  Prior and loss: what it should become"
GROUP_3 = "3  Views and the loop"
GROUP_4 = "4  Export"

METHOD = Method(
    nodes={
        "hash_grid_volume": node("HashGridVolume", within=GROUP_1, radius=1.0),
        "albedo": node("Albedo", within=GROUP_1),
        "environment_background": node("EnvironmentBackground", within=GROUP_1, random_share=0.5, per_view=False),
        "volume_renderer": node("VolumeRenderer", within=GROUP_1, field=Wire("hash_grid_volume"),
                 material=Wire("albedo"), background=Wire("environment_background"), samples=512),
        "mv_dream_prior": node("MVDreamPrior", within=GROUP_2, model="sd-v2.1-base-4view.pt"),
        "view_prompt": node("ViewPrompt", within=GROUP_2, text="an astronaut riding a horse",
                 negative="ugly, bad anatomy, blurry, pixelated obscure, unnatural colors, poor lighting, dull, and unclear, cropped, lowres, low quality, artifacts, duplicate, morbid, mutilated, poorly drawn face, deformed, dehydrated, bad proportions",
                 views="none"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_2,
                 keyframes="0: 0.98, 8000: 0.02", unit="steps"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_2,
                 keyframes="0: 0.98, 8000: 0.5", unit="steps"),
        "sds_loss": node("SDSLoss", within=GROUP_2, prior=Wire("mv_dream_prior"), prompt=Wire("view_prompt"),
                 guidance=50.0, weighting="x0", t_min=Wire("smallest_timestep"),
                 t_max=Wire("largest_timestep"), rescaling=0.5),
        "multi_view_orbit": node("MultiViewOrbit", within=GROUP_3, min_fovy=15.0, max_fovy=60.0, min_size=0.8),
        "views_per_step": node("Schedule", titled="Views per step", within=GROUP_3, keyframes="0: 8, 5000: 4",
                 unit="steps", shape="step"),
        "pixels_of_a_view": node("Schedule", titled="Pixels of a view", within=GROUP_3, keyframes="0: 64, 5000: 256",
                 unit="steps", shape="step"),
        "objective": node("Objective", within=GROUP_3, views=Wire("multi_view_orbit"),
                 losses=Wire("sds_loss"), batch=Wire("views_per_step"),
                 resolution=Wire("pixels_of_a_view")),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_3, kind="AdamW",
                 rates="encoding: 0.01, network: 0.001, background: 0.001", weight_decay=0.01),
        "optimize": node("Optimize", within=GROUP_3, scene=Wire("volume_renderer"),
                 objective=Wire("objective"), steps=10000, optimizer=Wire("optimizer_settings")),
        **export("optimize", "mvdream", resolution=256, group=GROUP_4, frames=120, size=512, distance=3.0),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    stages=(
        trained("MVDream stage", "optimize", "Score distillation of a prior of four views into a volume.",
                guidance="sds_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## MVDream
Text to a textured 3D object by score distillation of a model that denoises four views of one object jointly ([Shi et al. 2023](https://arxiv.org/abs/2308.16512)), which prevents objects with several faces.

Change the text in **View Prompt** and press Run. View words are off, because the model is conditioned on the cameras. The numbers are those of MVDream-threestudio's `mvdream-sd21`, the variant without shading: 10,000 steps of two groups of four views at 64x64 pixels, from step 5,000 of one group at 256x256, and guidance 50.

The pictures of the paper were made with `mvdream-sd21-shading`: **Lambertian** instead of Albedo (albedo only for the first 5,000 steps), **Magic3D Light** with soft shading at the Objective, and **Orientation Loss** from 10 to 1,000 over 5,000 steps.""",
        """\
## Files
`sd-v2.1-base-4view.pt` (5.2 GB, OpenRAIL) of [MVDream/MVDream](https://huggingface.co/MVDream/MVDream) goes into `models/checkpoints`. The editor does not offer to download it, because it is not a .safetensors file. It is read as weights only, without executing code in it. The repository [ashawkey/mvdream-sd2.1-diffusers](https://huggingface.co/ashawkey/mvdream-sd2.1-diffusers) as a folder in `models/diffusers` works too.

Without ComfyUI (`distill3d run mvdream`), `models` is a folder in the working directory, or the one given by `--models`. For the single file, the tokenizer's `vocab.json` and `merges.txt` (of openai/clip-vit-large-patch14) go into `models/text_encoders/clip_tokenizer`.""",
        """\
## Memory and time
Not measured with this pack. Most memory is needed by the views with 256x256 pixels. **Volume Renderer** takes longer steps along rays when a training step would have more samples than `max_samples`. Raise it on a large GPU. On a small one, lower it, or end the schedule of the resolution below 256.""",
    ))
