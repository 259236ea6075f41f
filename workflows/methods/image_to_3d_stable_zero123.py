"""One picture to 3D, with Stable-Zero123."""
from ..description import Wire, node
from .zero123 import METHOD as BASE

GROUP_1 = "1  The picture"
GROUP_2 = "2  Scene: what is optimised"
GROUP_3 = "3  Sides that are not seen"
GROUP_4 = "4  The side that is seen, and the loop"
GROUP_5 = "5  Export"

METHOD = BASE.differing(
    numbers={
        "zero123_prior.model": "stable_zero123.ckpt",
        "zero123_prior.kind": "Stable-Zero123",
        "smallest_timestep.keyframes": "50: 0.7, 200: 0.3",
        "largest_timestep.keyframes": "50: 0.98, 200: 0.8",
        "sparsity_loss.weight": 0.5,
        "opacity_entropy_loss.weight": 0.5,
        "opacity_entropy_loss_of_the_picture.weight": 0.5,
        "views_per_step.keyframes": "0: 12, 200: 8, 300: 4",
        "reference_rgb_loss.weight": Wire("colour_weight"),
        "save_mesh.filename_prefix": "distill3d/image_to_3d_stable_zero123",
        "save_animation.filename_prefix": "distill3d/image_to_3d_stable_zero123",
        "save_image.filename_prefix": "distill3d/image_to_3d_stable_zero123_run",
        "normal_smoothness_loss.weight": Wire("smoothness_weight"),
        "normal_smoothness_loss_2.weight": Wire("smoothness_weight"),
        "normal_smoothness_loss_3.weight": Wire("smoothness_weight"),
        "normal_smoothness_loss_4.weight": Wire("smoothness_weight"),
    },
    nodes={
        "colour_weight": node("Schedule", titled="Colour weight", within=GROUP_4, keyframes="100: 500, 400: 1000",
                 unit="steps"),
        "smoothness_weight": node("Schedule", titled="Smoothness weight", within=GROUP_3,
                 keyframes="100: 7, 150: 5, 200: 10", unit="steps"),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5),
    notes=(
        """\
## One picture to 3D, with Stable-Zero123
The side that is seen is compared with the picture; the others are distilled from a model that knows how a picture's object looks from elsewhere ([Liu et al. 2023](https://arxiv.org/abs/2303.11328), Stability AI 2023). The text is not read.

**Load Image** takes a picture whose surroundings are transparent (its mask then marks them); for another, wire the mask of a background removal into **Reference View** and set what it marks. Set how far above the horizon the picture was taken from there and in the prior: 5 degrees is a guess.

Numbers are those of threestudio's `stable-zero123`: 600 steps, both objectives at every step. Normals are smoothed in both, in the picture and in space, as published.""",
        """\
## Files
`stable_zero123.ckpt` (8.6 GB) of [stabilityai/stable-zero123](https://huggingface.co/stabilityai/stable-zero123) belongs into `models/checkpoints`; mind its licence. It is read without running anything in it. A diffusers folder in `models/diffusers` is as good.""",
        """\
## Memory and time
Not measured with this pack. The views of 256 pixels and the picture's at 512 need most: lower the last numbers of the two pixel schedules where memory runs out.""",
    ))
