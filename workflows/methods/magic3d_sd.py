"""Magic3D, with Stable Diffusion."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node

GROUP_1 = "1  Coarse scene: a volume"
GROUP_2 = "2  Prior, light and optimizer of both stages"
GROUP_3 = "3  Coarse stage"
GROUP_4 = "4  Fine stage: the volume's surface on tetrahedra"
GROUP_5 = "5  Export"

METHOD = Method(
    nodes={
        "hash_grid_volume": node("HashGridVolume", within=GROUP_1, radius=2.0),
        "lambertian_of_the_volume": node("Lambertian", titled="Lambertian of the volume", within=GROUP_1, albedo_steps=2001,
                 albedo_fraction=0.0),
        "environment_background": node("EnvironmentBackground", within=GROUP_1),
        "volume_renderer": node("VolumeRenderer", within=GROUP_1, field=Wire("hash_grid_volume"),
                 material=Wire("lambertian_of_the_volume"),
                 background=Wire("environment_background"), samples=512),
        "checkpoint_loader_simple": node(":CheckpointLoaderSimple", within=GROUP_2,
                 ckpt_name="v1-5-pruned-emaonly-fp16.safetensors"),
        "prior_from_model": node("PriorFromModel", within=GROUP_2, model=Wire("checkpoint_loader_simple"),
                 vae=Wire("checkpoint_loader_simple", "VAE"),
                 clip=Wire("checkpoint_loader_simple", "CLIP")),
        "view_prompt": node("ViewPrompt", within=GROUP_2, text="a delicious hamburger",
                            views="front/side/back/overhead"),
        "sds_of_the_volume": node("SDSLoss", titled="SDS of the volume", within=GROUP_3,
                 prior=Wire("prior_from_model"), prompt=Wire("view_prompt"), guidance=101.0,
                 weighting="uniform"),
        "schedule": node("Schedule", titled="Orientation weight", within=GROUP_3,
                 keyframes="0: 10, 5000: 1000", unit="steps"),
        "orientation_loss": node("OrientationLoss", within=GROUP_3, weight=Wire("schedule"),
                 losses=Wire("sds_of_the_volume")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_3, losses=Wire("orientation_loss")),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_3, weight=0.0, losses=Wire("sparsity_loss")),
        "views_of_the_volume": node("RandomOrbitViews", titled="Views of the volume", within=GROUP_3, min_distance=1.5,
                 max_distance=2.0, max_elevation=45.0, max_fovy=70.0, min_elevation=-10.0, position_jitter=0.1,
                                    target_jitter=0.2, up_jitter=0.02),
        "magic3_d_light": node("Magic3DLight", within=GROUP_2, soft_shading=True),
        "objective_of_the_volume": node("Objective", titled="Objective of the volume", within=GROUP_3,
                 views=Wire("views_of_the_volume"), losses=Wire("opacity_entropy_loss"), batch=1.0,
                 light=Wire("magic3_d_light"), resolution=64.0),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_2, rates="background: 0.001"),
        "optimizer_of_the_mesh": node("OptimizerSettings", titled="Optimizer of the mesh", within=GROUP_4),
        "coarse_a_volume": node("Optimize", titled="Coarse: a volume", within=GROUP_3,
                 scene=Wire("volume_renderer"), objective=Wire("objective_of_the_volume"),
                 steps=10000, optimizer=Wire("optimizer_settings")),
        "scene_to_tet_grid": node("SceneToTetGrid", within=GROUP_4, scene=Wire("coarse_a_volume")),
        "mesh_rasterizer": node("MeshRasterizer", within=GROUP_4, field=Wire("scene_to_tet_grid"),
                 material=Wire("lambertian_of_the_mesh"), background=Wire("environment_background")),
        "sds_of_the_mesh": node("SDSLoss", titled="SDS of the mesh", within=GROUP_4, prior=Wire("prior_from_model"),
                 prompt=Wire("view_prompt"), guidance=101.0, t_max=0.5),
        "normal_consistency_loss": node("NormalConsistencyLoss", within=GROUP_4, losses=Wire("sds_of_the_mesh")),
        "objective_of_the_mesh": node("Objective", titled="Objective of the mesh", within=GROUP_4,
                 views=Wire("views_of_the_mesh"), losses=Wire("normal_consistency_loss"), batch=1.0,
                 resolution=512.0, light=Wire("magic3_d_light")),
        "fine_a_mesh": node("Optimize", titled="Fine: a mesh", within=GROUP_4, scene=Wire("mesh_rasterizer"),
                 objective=Wire("objective_of_the_mesh"), steps=5000,
                 optimizer=Wire("optimizer_of_the_mesh")),
        "lambertian_of_the_mesh": node("Lambertian", titled="Lambertian of the mesh", within=GROUP_4, albedo_fraction=0.0),
        "views_of_the_mesh": node("RandomOrbitViews", titled="Views of the mesh", within=GROUP_4, min_distance=1.5,
                 max_distance=2.0, min_fovy=30.0, max_fovy=45.0, max_elevation=45.0, min_elevation=-10.0,
                                  position_jitter=0.1, target_jitter=0.2, up_jitter=0.02),
        **export("fine_a_mesh", "magic3d_sd", resolution=256, group=GROUP_5,
                 frames=120, size=512, distance=2.0, fovy=70.0, shading="shaded"),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5),
    stages=(
        trained("Coarse: a volume", "coarse_a_volume", "Score distillation of a prior into a volume.",
                resolution="objective_of_the_volume.resolution", views_a_step="objective_of_the_volume.batch",
                guidance="sds_of_the_volume.guidance"),
        trained("Refine on tetrahedra", "fine_a_mesh", "The surface of a trained scene, refined on tetrahedra under the rasterizer.",
                resolution="objective_of_the_mesh.resolution", views_a_step="objective_of_the_mesh.batch",
                guidance="sds_of_the_mesh.guidance", grid="scene_to_tet_grid.resolution"),
        bake_and_save(),
    ),
    notes=(
        """\
## Magic3D, with Stable Diffusion
Text to a textured mesh in two stages ([Lin et al. 2022](https://arxiv.org/abs/2211.10440)): a volume at 64x64 pixels, then its surface on tetrahedra at 512x512.

The numbers are those of threestudio's `magic3d-coarse-sd` and `magic3d-refine-sd`: 10,000 and 5,000 steps of one view, guidance 100 (101 in the standard form of **SDS Loss**), timesteps up to 0.5 in the fine stage, normal consistency 10,000, and a grid of 128, whose distances are in edge lengths. Two things differ: the mesh starts from the density whose silhouettes match the volume best, not from a fixed density, and components smaller than 5 % of the largest are dropped. The paper has 32 views per step, 5,000 and 3,000 steps, and eDiff-I in the coarse stage.

Change the text in **View Prompt**. To use another checkpoint, choose it in **Load Checkpoint** and set the resolution of **Prior from MODEL** to its training resolution.""",
        """\
## Files
`v1-5-pruned-emaonly-fp16.safetensors` (2.1 GB) goes into `models/checkpoints`. The editor offers to download it from [Comfy-Org/stable-diffusion-v1-5-archive](https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive), under the licence CreativeML OpenRAIL-M.

Without ComfyUI (`distill3d run magic3d_sd`), `models` is a folder in the working directory, or the one given by `--models`. The tokenizer's `vocab.json` and `merges.txt` (of openai/clip-vit-large-patch14) go into `models/text_encoders/clip_tokenizer`.""",
        """\
## Memory and time
Not measured with this pack. threestudio states 6 GB of GPU memory for its DreamFusion and 5 GB for this fine stage.

To use less memory: lower the samples of **Volume Renderer**, and the resolution of **Prior from MODEL** and of the mesh's **Objective**.""",
    ))
