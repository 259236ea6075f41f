"""Magic3D with the built-in prior."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node

GROUP_1 = "1  Coarse scene: a volume"
GROUP_2 = "2  Prior, views and light of both stages"
GROUP_3 = "3  Coarse stage"
GROUP_4 = "4  Fine stage: the volume's surface on tetrahedra"
GROUP_5 = "5  Export"

METHOD = Method(
    nodes={
        "hash_grid_volume": node("HashGridVolume", within=GROUP_1, levels=8, log2_size=14, base=8, finest=96,
                 width=32),
        "lambertian": node("Lambertian", within=GROUP_1, albedo_share=1.0, textureless_share=0.0,
                 shaded_share=0.0),
        "random_background": node("RandomBackground", within=GROUP_1),
        "volume_renderer": node("VolumeRenderer", within=GROUP_1, field=Wire("hash_grid_volume"),
                 material=Wire("lambertian"), background=Wire("random_background")),
        "builtin_prior": node("BuiltinPrior", within=GROUP_2),
        "view_prompt": node("ViewPrompt", within=GROUP_2, text="a blue sphere on top of a green cylinder",
                 views="degrees"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_3, keyframes="0: 0.3, 1: 0.02"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_3),
        "sds_of_the_volume": node("SDSLoss", titled="SDS of the volume", within=GROUP_3, prior=Wire("builtin_prior"),
                 prompt=Wire("view_prompt"), guidance=3.0, t_min=Wire("smallest_timestep"),
                 t_max=Wire("largest_timestep")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_3, weight=20.0, losses=Wire("sds_of_the_volume")),
        "entropy_weight": node("Schedule", titled="Entropy weight", within=GROUP_3, keyframes="0: 0, 1: 20.0"),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_3, unit="bits", weight=Wire("entropy_weight"),
                 losses=Wire("sparsity_loss")),
        "orientation_loss": node("OrientationLoss", within=GROUP_3, losses=Wire("opacity_entropy_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_2, min_distance=3.05, max_distance=3.35,
                 max_fovy=40.0, min_elevation=-30.0, max_elevation=65.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0),
        "camera_light": node("CameraLight", within=GROUP_2),
        "objective_of_the_volume": node("Objective", titled="Objective of the volume", within=GROUP_3,
                 views=Wire("random_orbit_views"), losses=Wire("orientation_loss"), resolution=32.0,
                 light=Wire("camera_light")),
        "learning_rate_decay": node("Schedule", titled="Learning rate decay", within=GROUP_2,
                 keyframes="0.5: 1, 1: 0.2", shape="cosine"),
        "optimizer_of_the_volume": node("OptimizerSettings", titled="Optimizer of the volume", within=GROUP_3,
                 rates="encoding: 0.02, network: 0.01", factor=Wire("learning_rate_decay")),
        "coarse_a_volume": node("Optimize", titled="Coarse: a volume", within=GROUP_3,
                 scene=Wire("volume_renderer"), objective=Wire("objective_of_the_volume"),
                 save_every=0.5, optimizer=Wire("optimizer_of_the_volume")),
        "scene_to_tet_grid": node("SceneToTetGrid", within=GROUP_4, scene=Wire("coarse_a_volume"), resolution=96,
                 levels=8, log2_size=14, base=8, finest=96, width=32),
        "mesh_rasterizer": node("MeshRasterizer", within=GROUP_4, field=Wire("scene_to_tet_grid"),
                 material=Wire("lambertian"), background=Wire("random_background")),
        "sds_of_the_mesh": node("SDSLoss", titled="SDS of the mesh", within=GROUP_4, prior=Wire("builtin_prior"),
                 prompt=Wire("view_prompt"), guidance=3.0, t_max=0.5),
        "normal_consistency_loss": node("NormalConsistencyLoss", within=GROUP_4, weight=300.0,
                 losses=Wire("sds_of_the_mesh")),
        "objective_of_the_mesh": node("Objective", titled="Objective of the mesh", within=GROUP_4,
                 views=Wire("random_orbit_views"), losses=Wire("normal_consistency_loss"), resolution=64.0),
        "optimizer_of_the_mesh": node("OptimizerSettings", titled="Optimizer of the mesh", within=GROUP_4,
                 rates="sdf: 0.065, deformation: 0.03, encoding: 0.01, network: 0.003",
                 factor=Wire("learning_rate_decay")),
        "fine_a_mesh": node("Optimize", titled="Fine: a mesh", within=GROUP_4, scene=Wire("mesh_rasterizer"),
                 objective=Wire("objective_of_the_mesh"), steps=150, save_every=0.5,
                 optimizer=Wire("optimizer_of_the_mesh")),
        **export("fine_a_mesh", "magic3d", resolution=64, group=GROUP_5),
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
## Magic3D with the built-in prior
Text to a textured mesh in two stages ([Lin et al. 2022](https://arxiv.org/abs/2211.10440)): a volume for shape and colours, then its surface on a grid of tetrahedra, refined by rasterisation.

**Scene to Tet Grid** chooses the threshold of the surface and copies the colours of the volume. The fine stage has low noise levels (timesteps below 0.5) and twice the resolution, and **Normal Consistency Loss** keeps the surface smooth.

Change the text in **View Prompt**: eight colours, six shapes, alone or one *on top of* another. No GPU is needed: two and a half minutes and 1 GB of memory on one CPU core. The published numbers for large models are in *magic3d_sd*.""",
    ))
