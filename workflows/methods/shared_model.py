"""One model, for pictures and for score distillation."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node, stage

GROUP_1 = "1  The text and the model"
GROUP_2 = "2  A picture of it"
GROUP_3 = "3  Prior and losses: what it should become"
GROUP_4 = "4  Scene: what is optimised"
GROUP_5 = "5  Views, light and the loop"
GROUP_6 = "6  Export"

METHOD = Method(
    nodes={
        "levels_of_the_grid": node("Schedule", titled="Levels of the grid", within=GROUP_4,
                 keyframes="2000: 8, 6000: 16", unit="steps"),
        "hash_grid_volume": node("HashGridVolume", within=GROUP_4, radius=2.0,
                 active_levels=Wire("levels_of_the_grid")),
        "lambertian": node("Lambertian", within=GROUP_4, albedo_steps=2001, albedo_fraction=0.0),
        "environment_background": node("EnvironmentBackground", within=GROUP_4),
        "volume_renderer": node("VolumeRenderer", within=GROUP_4, field=Wire("hash_grid_volume"),
                 material=Wire("lambertian"), background=Wire("environment_background"), samples=512),
        "checkpoint_loader_simple": node(":CheckpointLoaderSimple", within=GROUP_1,
                 ckpt_name="v1-5-pruned-emaonly-fp16.safetensors"),
        "prior_from_model": node("PriorFromModel", within=GROUP_3, model=Wire("checkpoint_loader_simple"),
                 vae=Wire("checkpoint_loader_simple", "VAE"),
                 clip=Wire("checkpoint_loader_simple", "CLIP")),
        "view_prompt": node("ViewPrompt", within=GROUP_3, text=Wire("primitive_string_multiline"),
                            views="front/side/back/overhead"),
        "sds_loss": node("SDSLoss", within=GROUP_3, prior=Wire("prior_from_model"),
                 prompt=Wire("view_prompt"), guidance=101.0),
        "orientation_weight": node("Schedule", titled="Orientation weight", within=GROUP_3,
                 keyframes="0: 10, 5000: 1000", unit="steps"),
        "orientation_loss": node("OrientationLoss", within=GROUP_3, weight=Wire("orientation_weight"),
                 losses=Wire("sds_loss")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_3, losses=Wire("orientation_loss")),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_3, weight=0.0, losses=Wire("sparsity_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_5, min_distance=1.5, max_distance=2.0,
                 max_elevation=45.0, max_fovy=70.0, min_elevation=-10.0, position_jitter=0.1, target_jitter=0.2,
                                   up_jitter=0.02),
        "dream_fusion_light": node("DreamFusionLight", within=GROUP_5),
        "objective": node("Objective", within=GROUP_5, views=Wire("random_orbit_views"),
                 losses=Wire("opacity_entropy_loss"), batch=1.0, light=Wire("dream_fusion_light"), resolution=64.0),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_5, rates="background: 0.001"),
        "optimize": node("Optimize", within=GROUP_5, scene=Wire("volume_renderer"),
                 objective=Wire("objective"), steps=10000, optimizer=Wire("optimizer_settings")),
        "primitive_string_multiline": node(":PrimitiveStringMultiline", titled="The text", within=GROUP_1,
                 value="a zoomed out DSLR photo of a baby bunny sitting on top of a stack of pancakes"),
        "clip_text_encode": node(":CLIPTextEncode", within=GROUP_2, text=Wire("primitive_string_multiline"),
                 clip=Wire("checkpoint_loader_simple", "CLIP")),
        "clip_text_encode_2": node(":CLIPTextEncode", within=GROUP_2, clip=Wire("checkpoint_loader_simple", "CLIP")),
        "empty_latent_image": node(":EmptyLatentImage", within=GROUP_2),
        "k_sampler": node(":KSampler", within=GROUP_2, model=Wire("checkpoint_loader_simple"), steps=25,
                 cfg=7.5, sampler_name="euler", scheduler="normal",
                 positive=Wire("clip_text_encode"), negative=Wire("clip_text_encode_2"),
                 latent_image=Wire("empty_latent_image")),
        "vae_decode": node(":VAEDecode", within=GROUP_2, samples=Wire("k_sampler"),
                 vae=Wire("checkpoint_loader_simple", "VAE")),
        "what_the_model_paints": node(":SaveImage", titled="What the model paints", within=GROUP_2,
                 images=Wire("vae_decode"), filename_prefix="distill3d/shared_model_picture"),
        **export("optimize", "shared_model", resolution=256, group=GROUP_6,
                 frames=120, size=512, distance=2.0, fovy=70.0, shading="shaded"),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5, GROUP_6),
    stages=(
        stage("Paint a picture", "vae_decode", about="A picture of a text by a checkpoint.",
              keeps=("clip_text_encode", "clip_text_encode_2", "empty_latent_image", "k_sampler"),
              shows={"not in the picture": "clip_text_encode_2.text", "seed": "k_sampler.seed",
                     "steps": "k_sampler.steps"}),
        trained("DreamFusion stage", "optimize", "Score distillation of a prior into a volume.",
                resolution="objective.resolution", views_a_step="objective.batch", guidance="sds_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## One model, for pictures and for score distillation
One MODEL, loaded once, generates a picture with a KSampler and trains a scene by score distillation ([Poole et al. 2022](https://arxiv.org/abs/2209.14988)), both from the same text.

Change **The text** and press Run. Nodes between **Load Checkpoint** and the two (a LoRA, a ControlNet, another text encoder) apply to both. The picture comes first and shows whether the model follows the text before the long part begins.

The distillation is that of *dreamfusion_sd*, with threestudio's numbers. The results are a textured GLB in the viewer and a turntable.""",
        """\
## Files
`v1-5-pruned-emaonly-fp16.safetensors` (2.1 GB) goes into `models/checkpoints`. The editor offers to download it from [Comfy-Org/stable-diffusion-v1-5-archive](https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive), under the licence CreativeML OpenRAIL-M.""",
        """\
## Memory and time
Not measured with this pack and full-size models. threestudio states 6 GB of GPU memory for its own code with these settings. To use less memory: lower the samples of **Volume Renderer** and the resolution of **Prior from MODEL**.""",
    ))
