"""One picture to 3D, with Stable-Zero123."""
from ..block import named_files
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
        **named_files("image_to_3d_stable_zero123"),
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
One picture to a 3D object with Stable-Zero123 ([Liu et al. 2023](https://arxiv.org/abs/2303.11328), Stability AI 2023). The view of the picture is compared with the picture; other views are distilled from a model that is conditioned on the picture and the relative camera. The text is ignored.

**Load Image** takes a picture with a transparent background, which gives the mask. For other pictures, connect the mask of a background removal to **The picture** and set `mask_marks` of **Reference View** inside it. Set the elevation of the picture twice in **The picture**, for the view and for the prior; the file's 5 degrees are a guess.

The numbers are those of threestudio's `stable-zero123`: 600 steps with both objectives at every step. Both have Normal Smoothness losses in the picture and in space, as published.""",
        """\
## Files
`stable_zero123.ckpt` (8.6 GB) of [stabilityai/stable-zero123](https://huggingface.co/stabilityai/stable-zero123) goes into `models/checkpoints`; see its licence. It is read as weights only, without executing code in it. A diffusers folder in `models/diffusers` works too.""",
        """\
## Memory and time
Not measured with this pack. Most memory is needed by the views with 256 pixels and by the view of the picture with 512. To use less, lower the last numbers of the two pixel schedules.""",
    ))
