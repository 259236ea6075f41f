"""One picture to 3D, with Zero123-XL."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node, stage

GROUP_1 = "1  The picture"
GROUP_2 = "2  Scene: what is optimised"
GROUP_3 = "3  Sides that are not seen"
GROUP_4 = "4  The side that is seen, and the loop"
GROUP_5 = "5  Export"

METHOD = Method(
    nodes={
        "load_image": node(":LoadImage", within=GROUP_1, image="object.png"),
        "reference_view": node("ReferenceView", within=GROUP_1, image=Wire("load_image"),
                 mask=Wire("load_image", "MASK")),
        "hash_grid_volume": node("HashGridVolume", within=GROUP_2, radius=2.0, active_levels=16.0, hidden=2),
        "albedo": node("Albedo", within=GROUP_2),
        "solid_background": node("SolidBackground", within=GROUP_2),
        "volume_renderer": node("VolumeRenderer", within=GROUP_2, field=Wire("hash_grid_volume"),
                 material=Wire("albedo"), background=Wire("solid_background"), samples=512),
        "zero123_prior": node("Zero123Prior", within=GROUP_3, model="zero123-xl.ckpt",
                 image=Wire("reference_view", "image"), kind="Zero123",
                 mask=Wire("reference_view", "mask")),
        "view_prompt": node("ViewPrompt", within=GROUP_3, text="an object", views="none"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_3,
                 keyframes="0: 0.4, 200: 0.2", unit="steps"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_3,
                 keyframes="0: 0.85, 200: 0.5", unit="steps"),
        "sds_loss": node("SDSLoss", within=GROUP_3, prior=Wire("zero123_prior"), prompt=Wire("view_prompt"),
                 guidance=3.0, t_min=Wire("smallest_timestep"), t_max=Wire("largest_timestep"),
                 weight=0.1),
        "orientation_loss": node("OrientationLoss", within=GROUP_3, weight=1.0, losses=Wire("sds_loss")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_3, weight=0.1, losses=Wire("orientation_loss")),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_3, weight=0.1, losses=Wire("sparsity_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_3, min_distance=3.8, max_distance=3.8,
                 min_fovy=20.0, max_fovy=20.0, max_elevation=80.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0, start_elevation=5.0, spread_azimuth=False, min_elevation=-10.0),
        "views_per_step": node("Schedule", titled="Views per step", within=GROUP_3,
                 keyframes="0: 12, 200: 4, 300: 2", unit="steps", shape="step"),
        "pixels_of_a_view": node("Schedule", titled="Pixels of a view", within=GROUP_3,
                 keyframes="0: 64, 200: 128, 300: 256", unit="steps", shape="step"),
        "objective_sides_that_are_not_seen": node("Objective", titled="Objective: sides that are not seen", within=GROUP_3,
                 views=Wire("random_orbit_views"), losses=Wire("normal_smoothness_loss_2"),
                 batch=Wire("views_per_step"), resolution=Wire("pixels_of_a_view")),
        "reference_rgb_loss": node("ReferenceRGBLoss", within=GROUP_4, reference=Wire("reference_view", "reference"),
                 weight=500.0),
        "reference_mask_loss": node("ReferenceMaskLoss", within=GROUP_4, reference=Wire("reference_view", "reference"),
                 weight=50.0, losses=Wire("reference_rgb_loss")),
        "orientation_loss_of_the_picture": node("OrientationLoss", within=GROUP_4, weight=1.0,
                 losses=Wire("reference_mask_loss")),
        "opacity_entropy_loss_of_the_picture": node("OpacityEntropyLoss", within=GROUP_4, weight=0.1,
                 losses=Wire("orientation_loss_of_the_picture")),
        "pixels_of_the_picture_s_view": node("Schedule", titled="Pixels of the picture's view", within=GROUP_4,
                 keyframes="0: 128, 200: 256, 300: 512", unit="steps", shape="step"),
        "objective_the_picture": node("Objective", titled="Objective: the picture", within=GROUP_4,
                 views=Wire("reference_view"), losses=Wire("normal_smoothness_loss_4"), batch=1.0,
                 resolution=Wire("pixels_of_the_picture_s_view"),
                 objectives=Wire("objective_sides_that_are_not_seen")),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_4, epsilon=1e-08),
        "optimize": node("Optimize", within=GROUP_4, scene=Wire("volume_renderer"),
                 objective=Wire("objective_the_picture"), steps=600,
                 optimizer=Wire("optimizer_settings")),
        "normal_smoothness_loss": node("NormalSmoothnessLoss", within=GROUP_3, kind="picture, unit normals", weight=8.0,
                 losses=Wire("opacity_entropy_loss")),
        "normal_smoothness_loss_2": node("NormalSmoothnessLoss", within=GROUP_3, kind="space", weight=8.0,
                 losses=Wire("normal_smoothness_loss")),
        "normal_smoothness_loss_3": node("NormalSmoothnessLoss", within=GROUP_4, kind="picture, unit normals", weight=8.0,
                 losses=Wire("opacity_entropy_loss_of_the_picture")),
        "normal_smoothness_loss_4": node("NormalSmoothnessLoss", within=GROUP_4, kind="space", weight=8.0,
                 losses=Wire("normal_smoothness_loss_3")),
        **export("optimize", "zero123", resolution=256, group=GROUP_5,
                 frames=120, size=512, elevation=5.0, distance=3.8, fovy=20.0),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5),
    stages=(
        stage("The picture", "reference_view", "zero123_prior",
              shows={"elevation": "reference_view.elevation", "elevation of the prior": "zero123_prior.elevation",
                     "distance": "reference_view.distance", "field of view": "reference_view.fovy", "model": "zero123_prior.model"},
              about="A picture as a reference view, and a prior that is conditioned on it."),
        trained("Picture to 3D stage", "optimize", "The seen side fits the picture, the others are distilled from the prior.",
                keeps=("view_prompt",), guidance="sds_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## One picture to 3D, with Zero123-XL
One picture to a 3D object with Zero123-XL ([Liu et al. 2023](https://arxiv.org/abs/2303.11328)). The view of the picture is compared with the picture; other views are distilled from a model that is conditioned on the picture and the relative camera. The text is ignored.

**Load Image** takes a picture with a transparent background, which gives the mask. For other pictures, connect the mask of a background removal to **The picture** and set `mask_marks` of **Reference View** inside it. Set the elevation of the picture twice in **The picture**, for the view and for the prior; the file's 5 degrees are a guess.

The numbers are those of threestudio's `zero123`: 600 steps with both objectives at every step. Both have Normal Smoothness losses in the picture and in space, as published.""",
        """\
## Files
`zero123-xl.ckpt` (15.5 GB) of [the authors' page](https://zero123.cs.columbia.edu/assets/zero123-xl.ckpt) goes into `models/checkpoints`. It is read as weights only, without executing code in it. A diffusers folder in `models/diffusers` works too.""",
        """\
## Memory and time
Not measured with this pack. Most memory is needed by the views with 256 pixels and by the view of the picture with 512. To use less, lower the last numbers of the two pixel schedules.""",
    ))
