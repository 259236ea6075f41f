"""Multi-view distillation, with a built-in prior."""
from ..block import bake_and_save, named_files, trained
from ..description import Wire, node
from .dreamfusion import METHOD as BASE

GROUP_1 = "1  Scene: what is optimised"
GROUP_2 = "2  Prior and losses: what it should become"
GROUP_3 = "3  Views, light and the loop"
GROUP_4 = "4  Export"

METHOD = BASE.differing(
    without=["random_background", "builtin_prior", "random_orbit_views"],
    numbers={
        "volume_renderer.background": Wire("solid_background"),
        "view_prompt.text": "an orange sphere with a blue nose",
        "view_prompt.views": "none",
        "sds_loss.prior": Wire("mv_dream_prior"),
        "sds_loss.guidance": 4.0,
        "objective.views": Wire("multi_view_orbit"),
        **named_files("multi_view"),
    },
    nodes={
        "solid_background": node("SolidBackground", within=GROUP_1),
        "mv_dream_prior": node("MVDreamPrior", within=GROUP_2, resolution=32),
        "multi_view_orbit": node("MultiViewOrbit", within=GROUP_3, min_elevation=-30.0, max_elevation=60.0,
                 min_fovy=40.0, max_fovy=40.0, min_size=1.0),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    stages=(
        trained("Multi-view stage", "optimize", "Score distillation of a prior of four views into a volume.",
                resolution="objective.resolution", views_a_step="objective.batch", guidance="sds_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## Multi-view distillation, with a built-in prior
Text to a textured 3D object by score distillation of a model that denoises four views of one object jointly, as in MVDream ([Shi et al. 2023](https://arxiv.org/abs/2308.16512)). The views are consistent, which prevents objects with several fronts.

The model is a small built-in one in MVDream's layout. It knows eight colours and six shapes on white: alone, one *on top of* another, or a sphere, cube, cylinder or capsule *with a nose*. Describe an object in the green **View Prompt**, and press Run. The blue **Multi-view stage** shows the object during training, and **Save Animation**, at the right end, a turntable of the result. View words are off, because the model is conditioned on the cameras.

For the published model, use *mvdream*. The settings here suit the small one (32x32 pixels, field of view 40 degrees, size 1). No GPU is needed: about a minute on one CPU core.""",
    ))
