"""Text2Mesh, with the built-in CLIP."""
from dataclasses import replace

from ..block import bake_and_save, named_files, trained
from ..description import Wire, node, stage
from .clip_mesh import GROUP_2, GROUP_3, GROUP_4, GROUP_5
from .clip_mesh import METHOD as BASE

GROUP_1 = "1  A mesh"

METHOD = BASE.differing(
    notes=(
        """\
## Text2Mesh, with the built-in CLIP
Adds colours and fine relief to a given mesh by the CLIP similarity of its renderings to the text ([Michel et al. 2022](https://arxiv.org/abs/2112.03221)). The mesh here is a sphere; connect **Load Mesh** to **Mesh Style** to use your own.

**Mesh Style** is a small network from surface points to colour and displacement. CLIP receives large crops with the whole object and small crops with parts of its surface.

Published, for CLIP B/32: 1,500 steps of 5 views at 224 pixels around a front view, learning rate 0.0005, multiplied by 0.9 every 100 steps, 4 layers of width 256, bandwidth 5 to 12, relief 0.1, and crops of a tenth that are also rendered without colours. The numbers here are for the built-in CLIP, whose input has 32 pixels.""",
    ),
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5),
    stages=(
        stage("A sphere", "mesh_of_the_sphere", shows={"grid": "sphere.resolution"}, about="A sphere as a mesh."),
        trained("Text2Mesh stage", "optimize", "Colours and relief of a mesh whose renderings fit a text by CLIP.",
                resolution="objective.resolution", views_a_step="objective.batch", relief="mesh_style.relief"),
        bake_and_save(),
    ),
    without=["trainable_mesh", "smoothing", "laplacian_loss"],
    numbers={"mesh_rasterizer.field": Wire("mesh_style"), "view_prompt.text": "a dotted blue sphere",
             "objective.losses": Wire("clip_loss"), "clip_loss.smallest_crop": 0.7,
             "optimizer_settings.rates": "network: 0.001, relief: 0.0005", "optimize.steps": 300,
        **named_files("text2mesh")},
    nodes={
        "rasterizer_of_the_sphere": replace(BASE.nodes["rasterizer_of_the_sphere"], group=GROUP_1),
        "mesh_of_the_sphere": replace(BASE.nodes["mesh_of_the_sphere"], group=GROUP_1),
        "sphere": node("TetGrid", titled="Sphere", within=GROUP_1, resolution=64, radius_x=0.72,
                 radius_y=0.72, radius_z=0.72),
        "mesh_style": node("MeshStyle", within=GROUP_2, mesh=Wire("mesh_of_the_sphere"), width=64, depth=2,
                 bandwidth=1.5, relief=0.05),
    })
