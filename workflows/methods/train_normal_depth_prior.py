"""A small normal-depth model, from nothing."""
from ..description import Method, Wire, node

GROUP_1 = "What it learns from"
GROUP_2 = "Training"

METHOD = Method(
    nodes={
        "shape_views": node("ShapeViews", within=GROUP_1, picture="normal and depth"),
        "dataset_preview": node("DatasetPreview", within=GROUP_1, dataset=Wire("shape_views"), count=12),
        "train_normal_depth_prior": node("TrainNormalDepthPrior", within=GROUP_2, dataset=Wire("shape_views"), minutes=240.0),
        "some_of_the_pictures": node(":SaveImage", titled="Some of the pictures", within=GROUP_1,
                 images=Wire("dataset_preview"), filename_prefix="distill3d/normal_depth_dataset"),
        "what_it_has_learned": node(":SaveImage", titled="What it has learned", within=GROUP_2,
                 images=Wire("train_normal_depth_prior", "samples"),
                 filename_prefix="distill3d/normal_depth_samples"),
    },
    groups=(GROUP_1, GROUP_2),
    notes=(
        """\
## A small normal-depth model, from scratch
Trains a small diffusion model in RichDreamer's layout to denoise normals and depth of four views of a simple shape jointly, conditioned on a caption and the cameras. The views are generated. The text encoder is pretrained on captions first.

**start** "built-in" continues from the shipped weights.

States, sample sheets and the prior are saved in `folder` below the output folder. To continue, press Run again with more minutes. To use the prior, choose its folder in **Normal-Depth Prior**.""",
    ))
