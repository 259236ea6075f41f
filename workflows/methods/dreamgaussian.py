"""DreamGaussian with the built-in prior."""
from ..block import trained
from ..description import Method, Wire, node, stage

GROUP_1 = "1  A scene of Gaussians"
GROUP_2 = "2  Prior, prompt and views"
GROUP_3 = "3  Training"
GROUP_4 = "4  Export"

METHOD = Method(
    nodes={
        "gaussians": node("Gaussians", within=GROUP_1, count=1500, densify_end=150, gradient=0.04,
                 max_count=15000),
        "random_background": node("RandomBackground", within=GROUP_1),
        "splat_renderer": node("SplatRenderer", within=GROUP_1, field=Wire("gaussians"),
                 background=Wire("random_background"), antialiased=True),
        "builtin_prior": node("BuiltinPrior", within=GROUP_2),
        "view_prompt": node("ViewPrompt", within=GROUP_2, text="a blue sphere on top of a green cylinder",
                 views="degrees"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_2, keyframes="0: 0.3, 1: 0.02"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_2),
        "sds_loss": node("SDSLoss", within=GROUP_3, prior=Wire("builtin_prior"), prompt=Wire("view_prompt"),
                 guidance=3.0, t_min=Wire("smallest_timestep"), t_max=Wire("largest_timestep")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_3, losses=Wire("sds_loss")),
        "entropy_weight": node("Schedule", titled="Entropy weight", within=GROUP_3, keyframes="0: 0, 1: 20.0"),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_3, unit="bits", weight=Wire("entropy_weight"),
                 losses=Wire("sparsity_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_2, min_distance=3.05, max_distance=3.35,
                 max_fovy=40.0, min_elevation=-30.0, max_elevation=65.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0),
        "objective": node("Objective", within=GROUP_3, views=Wire("random_orbit_views"),
                 losses=Wire("opacity_entropy_loss"), resolution=32.0),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_3,
                 rates="position: 0.01 to 0.0002, color: 0.05, opacity: 0.05, scale: 0.005, rotation: 0.005"),
        "optimize": node("Optimize", within=GROUP_3, scene=Wire("splat_renderer"),
                 objective=Wire("objective"), save_every=0.5, optimizer=Wire("optimizer_settings")),
        "scene_to_splat": node("SceneToSplat", within=GROUP_4, scene=Wire("optimize")),
        "splat_to_file3_d": node(":SplatToFile3D", within=GROUP_4, splat=Wire("scene_to_splat")),
        "save_glb": node(":SaveGLB", titled="Save the Gaussians", within=GROUP_4,
                 mesh=Wire("splat_to_file3_d"), filename_prefix="distill3d/dreamgaussian_splat"),
        "turntable": node("Turntable", within=GROUP_4, scene=Wire("optimize")),
        "save_animation": node("SaveAnimation", within=GROUP_4, images=Wire("turntable"),
                 filename_prefix="distill3d/dreamgaussian"),
        "extract_mesh": node("ExtractMesh", within=GROUP_4, scene=Wire("optimize"), resolution=48),
        "save_mesh": node("SaveMesh", within=GROUP_4, mesh=Wire("extract_mesh"),
                 filename_prefix="distill3d/dreamgaussian"),
        "preview3_d": node(":Preview3D", titled="The mesh", within=GROUP_4, model_file=Wire("save_mesh")),
        "save_image": node(":SaveImage", titled="Picture of the run", within=GROUP_4,
                 images=Wire("optimize", "history"), filename_prefix="distill3d/dreamgaussian_run"),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    stages=(
        trained("Gaussian stage", "optimize", "Score distillation of a prior into Gaussians.",
                resolution="objective.resolution", views_a_step="objective.batch", guidance="sds_loss.guidance",
                Gaussians_at_first="gaussians.count", Gaussians_at_most="gaussians.max_count"),
        stage("Save Gaussians, mesh and pictures", "save_mesh", "turntable", "save_image", "save_glb",
              keeps=("splat_to_file3_d",), about="Trained Gaussians as a splat file, a mesh and pictures.",
              shows={"mesh resolution": "extract_mesh.resolution", "file name": "save_mesh.filename_prefix",
                     "file name of the Gaussians": "save_glb.filename_prefix", "turntable frames": "turntable.frames",
                     "turntable size": "turntable.size"}),
    ),
    notes=(
        """\
## DreamGaussian with the built-in prior
Text to a cloud of 3D Gaussians by score distillation ([Tang et al. 2023](https://arxiv.org/abs/2309.16653)). The cloud starts as a grey ball and is densified where gradients are large. The results are a splat file, a turntable and a mesh.

**Gaussians** clones or splits them every 50 steps up to step 150. The learning rate of their positions falls from 0.01 to 0.0002, as published. **Splat Renderer** is *antialiased*, because training has 32 pixels and the turntable 256.

**Scene to Splat** exports the Gaussians unchanged. Its file opens in splat viewers, and the input *splat* of **Gaussians** reads it. **Extract Mesh** chooses the surface whose silhouettes match best.

Change the text in **View Prompt**: eight colours, six shapes, alone or one *on top of* another. No GPU is needed: a minute and 0.8 GB of memory on one CPU core.
""",
    ))
