"""Geometry from normals and depth, with built-in priors."""
from ..block import bake_and_save, named_files, trained
from ..description import Wire, node
from .multi_view import METHOD as BASE

GROUP_1 = "1  Scene: what is optimised"
GROUP_2 = "2  Priors and losses: its shape, its looks"
GROUP_3 = "3  Views, light and the loop"
GROUP_4 = "4  Export"

METHOD = BASE.differing(
    without=["sds_loss"],
    numbers={
        **named_files("normal_depth"),
    },
    nodes={
        "mv_dream_prior": node("MVDreamPrior", within=GROUP_2, resolution=32),
        "view_prompt": node("ViewPrompt", within=GROUP_2, text="an orange sphere with a blue nose", views="none"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_2, keyframes="0: 0.3, 1: 0.02"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_2),
        "sds_of_the_colours": node("SDSLoss", titled="SDS of the colours", within=GROUP_2,
                 prior=Wire("mv_dream_prior"), prompt=Wire("view_prompt"), guidance=4.0,
                 t_min=Wire("smallest_timestep"), t_max=Wire("largest_timestep"), weight=0.4,
                 losses=Wire("sds_of_normals_and_depth")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_2, weight=20.0, losses=Wire("sds_of_the_colours")),
        "entropy_weight": node("Schedule", titled="Entropy weight", within=GROUP_2, keyframes="0: 0, 1: 20.0"),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_2, unit="bits", weight=Wire("entropy_weight"),
                 losses=Wire("sparsity_loss")),
        "orientation_loss": node("OrientationLoss", within=GROUP_2, losses=Wire("opacity_entropy_loss")),
        "normal_depth_prior": node("NormalDepthPrior", within=GROUP_2, resolution=32),
        "sds_of_normals_and_depth": node("SDSLoss", titled="SDS of normals and depth", within=GROUP_2,
                 prior=Wire("normal_depth_prior"), prompt=Wire("view_prompt"), guidance=4.0,
                 t_min=Wire("smallest_timestep"), t_max=Wire("largest_timestep"),
                 image="normal and depth"),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    stages=(
        trained("Normals, depth and colours", "optimize", "Score distillation of a prior of shape and one of colours into a volume.",
                resolution="objective.resolution", views_a_step="objective.batch",
                guidance_of_the_shape="sds_of_normals_and_depth.guidance",
                guidance_of_the_colours="sds_of_the_colours.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## Geometry from normals and depth, with built-in priors
Text to a textured 3D object by score distillation of two models, as in RichDreamer ([Qiu et al. 2023](https://arxiv.org/abs/2311.16918)): one of normals and depth, which colours cannot affect, and one of colours, both with four views.

Both are small built-in models. They know eight colours and six shapes on white: alone, one *on top of* another, or a sphere, cube, cylinder or capsule *with a nose*. Change the text in **View Prompt** and press Run. No GPU is needed: two minutes and 0.9 GB of memory on one CPU core.""",
    ))
