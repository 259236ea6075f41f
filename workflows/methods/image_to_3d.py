"""One picture to 3D, with a built-in prior."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node, stage

GROUP_1 = "1  The picture"
GROUP_2 = "2  Scene: what is optimised"
GROUP_3 = "3  Sides that are not seen"
GROUP_4 = "4  The side that is seen, and the loop"
GROUP_5 = "5  Export"

METHOD = Method(
    nodes={
        "voxel_volume": node("VoxelVolume", within=GROUP_2),
        "lambertian": node("Lambertian", within=GROUP_2, albedo_share=1.0, textureless_share=0.0,
                 shaded_share=0.0),
        "solid_background": node("SolidBackground", within=GROUP_2),
        "volume_renderer": node("VolumeRenderer", within=GROUP_2, field=Wire("voxel_volume"),
                 material=Wire("lambertian"), background=Wire("solid_background")),
        "zero123_prior": node("Zero123Prior", within=GROUP_3, image=Wire("reference_view", "image"),
                 kind="Zero123", elevation="15", mask=Wire("reference_view", "mask")),
        "view_prompt": node("ViewPrompt", within=GROUP_3, text="an object", views="none"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_3, keyframes="0: 0.3, 1: 0.02"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_3),
        "sds_loss": node("SDSLoss", within=GROUP_3, prior=Wire("zero123_prior"), prompt=Wire("view_prompt"),
                 guidance=3.0, t_min=Wire("smallest_timestep"), t_max=Wire("largest_timestep")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_3, weight=20.0, losses=Wire("sds_loss")),
        "entropy_weight": node("Schedule", titled="Entropy weight", within=GROUP_3, keyframes="0: 0, 1: 20.0"),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_3, unit="bits", weight=Wire("entropy_weight"),
                 losses=Wire("sparsity_loss")),
        "orientation_loss": node("OrientationLoss", within=GROUP_3, losses=Wire("opacity_entropy_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_3, min_distance=2.7, max_distance=2.8,
                 max_fovy=40.0, min_elevation=-30.0, max_elevation=60.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0),
        "camera_light": node("CameraLight", within=GROUP_3),
        "objective_sides_that_are_not_seen": node("Objective", titled="Objective: sides that are not seen", within=GROUP_3,
                 views=Wire("random_orbit_views"), losses=Wire("orientation_loss"), resolution=32.0,
                 light=Wire("camera_light")),
        "learning_rate_decay": node("Schedule", titled="Learning rate decay", within=GROUP_4,
                 keyframes="0.5: 1, 1: 0.2", shape="cosine"),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_4, rates="density: 0.1, color: 0.05",
                 factor=Wire("learning_rate_decay")),
        "optimize": node("Optimize", within=GROUP_4, scene=Wire("volume_renderer"),
                 objective=Wire("objective_the_picture"), save_every=0.5,
                 optimizer=Wire("optimizer_settings")),
        "load_image": node(":LoadImage", within=GROUP_1, image="object.png"),
        "reference_view": node("ReferenceView", within=GROUP_1, image=Wire("load_image"), elevation=15.0,
                 distance=2.75, fovy=40.0, fill=0.0, mask=Wire("load_image", "MASK")),
        "reference_rgb_loss": node("ReferenceRGBLoss", within=GROUP_4, reference=Wire("reference_view", "reference"),
                 weight=2000.0),
        "reference_mask_loss": node("ReferenceMaskLoss", within=GROUP_4, reference=Wire("reference_view", "reference"),
                 weight=500.0, losses=Wire("reference_rgb_loss")),
        "objective_the_picture": node("Objective", titled="Objective: the picture", within=GROUP_4,
                 views=Wire("reference_view"), losses=Wire("reference_mask_loss"), batch=1.0,
                 resolution=32.0, objectives=Wire("objective_sides_that_are_not_seen")),
        **export("optimize", "image_to_3d", resolution=64, group=GROUP_5),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5),
    stages=(
        stage("The picture", "reference_view", "zero123_prior",
              shows={"elevation": "reference_view.elevation", "elevation of the prior": "zero123_prior.elevation",
                     "distance": "reference_view.distance", "field of view": "reference_view.fovy"},
              about="A picture as a reference view, and a prior that is conditioned on it."),
        trained("Picture to 3D stage", "optimize", "The seen side fits the picture, the others are distilled from the prior.",
                keeps=("view_prompt",),
                resolution=("objective_sides_that_are_not_seen.resolution", "objective_the_picture.resolution"),
                views_a_step="objective_sides_that_are_not_seen.batch", guidance="sds_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## One picture to 3D, with a built-in prior
One picture to a 3D object, as in Zero123 ([Liu et al. 2023](https://arxiv.org/abs/2303.11328)). The view of the picture is compared with the picture; other views are distilled from a model that is conditioned on the picture and the relative camera.

The model is a small built-in one in Zero123's layout, trained on simple shapes in plain colours. For photographs, use *zero123* or *image_to_3d_stable_zero123*.

**Load Image** takes a picture with a transparent or white background. Set its elevation twice in **The picture**, for the view and for the prior. No GPU is needed: a minute and a half and 1 GB of memory on one CPU core.

No picture at hand? Choose `web/object.png` of the pack's folder in **Load Image**, or, in Nodes 2.0, drag it there from here:

![an orange sphere with a blue spot in front](/extensions/distill3d/object.png)""",
    ))
