"""DreamFusion, with the built-in prior."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node

GROUP_1 = "1  Scene: what is optimised"
GROUP_2 = "2  Prior and losses: what it should become"
GROUP_3 = "3  Views, light and the loop"
GROUP_4 = "4  Export"

METHOD = Method(
    nodes={
        "voxel_volume": node("VoxelVolume", within=GROUP_1),
        "lambertian": node("Lambertian", within=GROUP_1, albedo_share=1.0, textureless_share=0.0,
                 shaded_share=0.0),
        "random_background": node("RandomBackground", within=GROUP_1),
        "volume_renderer": node("VolumeRenderer", within=GROUP_1, field=Wire("voxel_volume"),
                 material=Wire("lambertian"), background=Wire("random_background")),
        "builtin_prior": node("BuiltinPrior", within=GROUP_2),
        "view_prompt": node("ViewPrompt", within=GROUP_2, text="a blue sphere on top of a green cylinder",
                 views="degrees"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_2, keyframes="0: 0.3, 1: 0.02"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_2),
        "sds_loss": node("SDSLoss", within=GROUP_2, prior=Wire("builtin_prior"), prompt=Wire("view_prompt"),
                 guidance=3.0, t_min=Wire("smallest_timestep"), t_max=Wire("largest_timestep")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_2, weight=20.0, losses=Wire("sds_loss")),
        "entropy_weight": node("Schedule", titled="Entropy weight", within=GROUP_2, keyframes="0: 0, 1: 20.0"),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_2, unit="bits", weight=Wire("entropy_weight"),
                 losses=Wire("sparsity_loss")),
        "orientation_loss": node("OrientationLoss", within=GROUP_2, losses=Wire("opacity_entropy_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_3, min_distance=3.05, max_distance=3.35,
                 max_fovy=40.0, min_elevation=-30.0, max_elevation=65.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0),
        "camera_light": node("CameraLight", within=GROUP_3),
        "objective": node("Objective", within=GROUP_3, views=Wire("random_orbit_views"),
                 losses=Wire("orientation_loss"), resolution=32.0, light=Wire("camera_light")),
        "learning_rate_decay": node("Schedule", titled="Learning rate decay", within=GROUP_3,
                 keyframes="0.5: 1, 1: 0.2", shape="cosine"),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_3, rates="density: 0.1, color: 0.05",
                 factor=Wire("learning_rate_decay")),
        "optimize": node("Optimize", within=GROUP_3, scene=Wire("volume_renderer"),
                 objective=Wire("objective"), save_every=0.5, optimizer=Wire("optimizer_settings")),
        **export("optimize", "dreamfusion", resolution=64, group=GROUP_4),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    stages=(
        trained("DreamFusion stage", "optimize", "Score distillation of a prior into a volume.",
                resolution="objective.resolution", views_a_step="objective.batch", guidance="sds_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## DreamFusion, with the built-in prior
Text to a textured 3D object by score distillation ([Poole et al. 2022](https://arxiv.org/abs/2209.14988)).

The built-in prior knows eight colours and six shapes (sphere, cube, cone, cylinder, torus, capsule), alone or one *on top of* another. Describe an object in the green **View Prompt**, and press Run. The blue **DreamFusion stage** shows the object during training, and **Save Animation**, at the right end, a turntable of the result.

To distil a large model, replace **Built-in Prior**, and set the resolution of the stage to that of the model.

The settings suit the built-in prior (32x32 pixels, cameras at distance 3.2 with a field of view of 40 degrees). No GPU is needed: a minute and 1.1 GB of memory on one CPU core.""",
    ))
