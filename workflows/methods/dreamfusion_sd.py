"""DreamFusion, with Stable Diffusion."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node

GROUP_1 = "1  Scene: what is optimised"
GROUP_2 = "2  Prior and losses: what it should become"
GROUP_3 = "3  Views, light and the loop"
GROUP_4 = "4  Export"

METHOD = Method(
    nodes={
        "levels_of_the_grid": node("Schedule", titled="Levels of the grid", within=GROUP_1,
                 keyframes="2000: 8, 6000: 16", unit="steps"),
        "hash_grid_volume": node("HashGridVolume", within=GROUP_1, radius=2.0,
                 active_levels=Wire("levels_of_the_grid")),
        "lambertian": node("Lambertian", within=GROUP_1, albedo_steps=2001, albedo_fraction=0.0),
        "environment_background": node("EnvironmentBackground", within=GROUP_1),
        "volume_renderer": node("VolumeRenderer", within=GROUP_1, field=Wire("hash_grid_volume"),
                 material=Wire("lambertian"), background=Wire("environment_background"), samples=512),
        "checkpoint_loader_simple": node(":CheckpointLoaderSimple", within=GROUP_2,
                 ckpt_name="v1-5-pruned-emaonly-fp16.safetensors"),
        "prior_from_model": node("PriorFromModel", within=GROUP_2, model=Wire("checkpoint_loader_simple"),
                 vae=Wire("checkpoint_loader_simple", "VAE"),
                 clip=Wire("checkpoint_loader_simple", "CLIP")),
        "view_prompt": node("ViewPrompt", within=GROUP_2,
                 text="a zoomed out DSLR photo of a baby bunny sitting on top of a stack of pancakes",
                            views="front/side/back/overhead"),
        "sds_loss": node("SDSLoss", within=GROUP_2, prior=Wire("prior_from_model"),
                 prompt=Wire("view_prompt"), guidance=101.0),
        "orientation_weight": node("Schedule", titled="Orientation weight", within=GROUP_2,
                 keyframes="0: 10, 5000: 1000", unit="steps"),
        "orientation_loss": node("OrientationLoss", within=GROUP_2, weight=Wire("orientation_weight"),
                 losses=Wire("sds_loss")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_2, losses=Wire("orientation_loss")),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_2, weight=0.0, losses=Wire("sparsity_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_3, min_distance=1.5, max_distance=2.0,
                 max_elevation=45.0, max_fovy=70.0, min_elevation=-10.0, position_jitter=0.1, target_jitter=0.2,
                                   up_jitter=0.02),
        "dream_fusion_light": node("DreamFusionLight", within=GROUP_3),
        "objective": node("Objective", within=GROUP_3, views=Wire("random_orbit_views"),
                 losses=Wire("opacity_entropy_loss"), batch=1.0, light=Wire("dream_fusion_light"), resolution=64.0),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_3, rates="background: 0.001"),
        "optimize": node("Optimize", within=GROUP_3, scene=Wire("volume_renderer"),
                 objective=Wire("objective"), steps=10000, optimizer=Wire("optimizer_settings")),
        **export("optimize", "dreamfusion_sd", resolution=256, group=GROUP_4,
                 frames=120, size=512, distance=2.0, fovy=70.0, shading="shaded"),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    stages=(
        trained("DreamFusion stage", "optimize", "Score distillation of a prior into a volume.",
                resolution="objective.resolution", views_a_step="objective.batch", guidance="sds_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## DreamFusion, with Stable Diffusion
Text to a textured 3D object by score distillation ([Poole et al. 2022](https://arxiv.org/abs/2209.14988)) of a Stable Diffusion checkpoint.

Change the text in **View Prompt** and press Run. The numbers are those of threestudio's `dreamfusion-sd`: 10,000 steps of one view with 64x64 pixels, and guidance 100, which is 101 in the standard form of **SDS Loss**.

To use another checkpoint, choose it in **Load Checkpoint** and set the resolution of **Prior from MODEL** to its training resolution. threestudio now uses Stable Diffusion 2.1 base (512 pixels); this file has the earlier 1.5. In ComfyUI, LoRAs and ControlNets are connected as for pictures.""",
        """\
## Files
`v1-5-pruned-emaonly-fp16.safetensors` (2.1 GB) goes into `models/checkpoints`. The editor offers to download it from [Comfy-Org/stable-diffusion-v1-5-archive](https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive), under the licence CreativeML OpenRAIL-M.

Without ComfyUI (`distill3d run dreamfusion_sd`), `models` is a folder in the working directory, or the one given by `--models`. The tokenizer's `vocab.json` and `merges.txt` (of openai/clip-vit-large-patch14) go into `models/text_encoders/clip_tokenizer`.""",
        """\
## Memory and time
Not measured with this pack. threestudio states 6 GB of GPU memory for its own code with these settings.

To use less memory: lower the samples of **Volume Renderer** and the resolution of **Prior from MODEL**.""",
    ))
