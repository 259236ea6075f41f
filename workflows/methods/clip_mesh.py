"""CLIP-Mesh, with the built-in CLIP."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node, stage

GROUP_1 = "1  A sphere"
GROUP_2 = "2  Scene: its vertices and its texture"
GROUP_3 = "3  CLIP and losses"
GROUP_4 = "4  Views, light and the loop"
GROUP_5 = "5  Export"

METHOD = Method(
    nodes={
        "sphere": node("TetGrid", titled="Sphere", within=GROUP_1, resolution=40),
        "lambertian": node("Lambertian", within=GROUP_2, albedo_share=0.3, textureless_share=0.0, shaded_share=0.7,
                 albedo_fraction=0.0),
        "random_background": node("RandomBackground", within=GROUP_2),
        "rasterizer_of_the_sphere": node("MeshRasterizer", titled="Rasterizer of the sphere", within=GROUP_1,
                 field=Wire("sphere"), material=Wire("lambertian"), background=Wire("random_background")),
        "mesh_of_the_sphere": node("ExtractMesh", titled="Mesh of the sphere", within=GROUP_1,
                 scene=Wire("rasterizer_of_the_sphere"), vertex_colors=False),
        "trainable_mesh": node("TrainableMesh", within=GROUP_2, mesh=Wire("mesh_of_the_sphere"), size=32, shape=True),
        "mesh_rasterizer": node("MeshRasterizer", within=GROUP_2, field=Wire("trainable_mesh"),
                 material=Wire("lambertian"), background=Wire("random_background")),
        "clip_tower": node("CLIPTower", within=GROUP_3),
        "view_prompt": node("ViewPrompt", within=GROUP_3, text="a blue sphere on top of a green cylinder",
                 views="none"),
        "clip_loss": node("CLIPLoss", within=GROUP_3, tower=Wire("clip_tower"), prompt=Wire("view_prompt"),
                 crops=2, smallest_crop=0.9, largest_crop=1.1),
        "smoothing": node("Schedule", titled="Smoothing", within=GROUP_3, keyframes="0: 6, 1: 1"),
        "laplacian_loss": node("LaplacianLoss", within=GROUP_3, weight=Wire("smoothing"), losses=Wire("clip_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_4, min_distance=3.05, max_distance=3.35,
                 max_fovy=40.0, min_elevation=-30.0, max_elevation=65.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0),
        "camera_light": node("CameraLight", within=GROUP_4),
        "objective": node("Objective", within=GROUP_4, views=Wire("random_orbit_views"),
                 losses=Wire("laplacian_loss"), resolution=48.0, light=Wire("camera_light")),
        "learning_rate_decay": node("Schedule", titled="Learning rate decay", within=GROUP_4,
                 keyframes="0.5: 1, 1: 0.2", shape="cosine"),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_4, rates="position: 0.01, texture: 0.15",
                 factor=Wire("learning_rate_decay")),
        "optimize": node("Optimize", within=GROUP_4, scene=Wire("mesh_rasterizer"), objective=Wire("objective"),
                 steps=300, save_every=0.5, optimizer=Wire("optimizer_settings")),
        **export("optimize", "clip_mesh", group=GROUP_5),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5),
    stages=(
        stage("A sphere", "mesh_of_the_sphere", shows={"grid": "sphere.resolution"}, about="A sphere as a mesh."),
        trained("CLIP-Mesh stage", "optimize", "A mesh whose renderings fit a text by CLIP.",
                resolution="objective.resolution", views_a_step="objective.batch"),
        bake_and_save(),
    ),
    notes=(
        """\
## CLIP-Mesh, with the built-in CLIP
Text to a textured mesh by the CLIP similarity of its renderings to the text ([Khalid et al. 2022](https://arxiv.org/abs/2203.13333)). The vertices of a sphere and its texture are trained.

**Laplacian Loss** keeps the triangles even; its weight falls during the run.

Published, for CLIP B/32: 5,000 steps of 25 views at 512 pixels, field of view 30 to 90 degrees, distance 5 to 12, elevation from a Beta(1, 5) distribution up to 90 degrees, learning rate 0.01, texture of 512 texels, Laplacian weight 30 falling to 0.6, and a prior from text to image embeddings with weight 0.33, which this workflow does not have. The published mesh is the limit of a Loop subdivision; here every vertex is a parameter. The numbers here are for the built-in CLIP, whose input has 32 pixels.

Change the text in **View Prompt**: eight colours, six shapes, alone or one *on top of* another.""",
    ))
