"""Dream Fields, with the built-in CLIP."""
from ..block import bake_and_save, named_files, trained
from ..description import Wire, node
from .dreamfusion import GROUP_2
from .dreamfusion import METHOD as BASE

METHOD = BASE.differing(
    notes=(
        """\
## Dream Fields, with the built-in CLIP
Text to a volume by the CLIP similarity of its renderings to the text ([Jain et al. 2022](https://arxiv.org/abs/2112.01455)), without a diffusion model.

**Transmittance Loss** keeps most of each picture empty. **CLIP Loss** composites the object over noise, checkerboards and waves, which prevents semi-transparent fog.

Published, for CLIP B/16: 10,000 steps at 168 pixels with crops of 154, 8 crops a step, one camera at distance 4 and elevation 30, learning rate 0.0001, target transmittance 0.5 to 0.9 over 500 steps with weight 0.5. The numbers here are for the built-in CLIP, whose input has 32 pixels.

Change the text in **View Prompt**: eight colours, six shapes, alone or one *on top of* another.""",
    ),
    without=["builtin_prior", "smallest_timestep", "largest_timestep", "sds_loss", "sparsity_loss", "entropy_weight",
             "opacity_entropy_loss", "orientation_loss", "camera_light"],
    numbers={"view_prompt.views": "none", "objective.losses": Wire("transmittance_loss"), "objective.light": None,
             "objective.resolution": 36.0,
        **named_files("dream_fields")},
    stages=(
        trained("Dream Fields stage", "optimize", "A volume whose renderings fit a text by CLIP.",
                resolution="objective.resolution", views_a_step="objective.batch"),
        bake_and_save(),
    ),
    nodes={
        "clip_tower": node("CLIPTower", within=GROUP_2),
        "clip_loss": node("CLIPLoss", within=GROUP_2, tower=Wire("clip_tower"), prompt=Wire("view_prompt"),
                 crops=1, background="random textures"),
        "target_transmittance": node("Schedule", titled="Target transmittance", within=GROUP_2,
                 keyframes="0: 0.5, 0.2: 0.85"),
        "transmittance_loss": node("TransmittanceLoss", within=GROUP_2, target=Wire("target_transmittance"),
                 losses=Wire("clip_loss")),
    })
