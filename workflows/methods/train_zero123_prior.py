"""A small Zero123, from nothing."""
from ..description import Method, Wire, node

GROUP_1 = "What it learns from"
GROUP_2 = "Training"

METHOD = Method(
    nodes={
        "shape_views": node("ShapeViews", within=GROUP_1, cameras="anywhere"),
        "dataset_preview": node("DatasetPreview", within=GROUP_1, dataset=Wire("shape_views"), count=12),
        "train_zero123_prior": node("TrainZero123Prior", within=GROUP_2, dataset=Wire("shape_views"), minutes=240.0),
        "some_of_the_pictures": node(":SaveImage", titled="Some of the pictures", within=GROUP_1,
                 images=Wire("dataset_preview"), filename_prefix="distill3d/zero123_dataset"),
        "what_it_has_learned": node(":SaveImage", titled="What it has learned", within=GROUP_2,
                 images=Wire("train_zero123_prior", "samples"),
                 filename_prefix="distill3d/zero123_samples"),
    },
    groups=(GROUP_1, GROUP_2),
    notes=(
        """\
## A small Zero123, from scratch
Trains a small diffusion model in Zero123's layout to denoise one view of a simple shape, conditioned on another view and the relative camera. The views are generated. An autoencoder is trained first, unless **autoencoder** is "built-in".

**start** "built-in" continues from the shipped weights.

States, sample sheets and the prior are saved in `folder` below the output folder. To continue, press Run again with more minutes. To use the prior, choose its folder in **Zero123 Prior**.""",
    ))
