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
## A small Zero123, from nothing
Draws each of many simple shapes from several sides and teaches a small model (the layout of Zero123) to paint one side, given another and the turn between them. An autoencoder is trained before, which **autoencoder** "built-in" spares.

**start** "built-in" goes on from the weights that come with the pack.

States, sample sheets and the prior itself are kept in the folder below the output folder; queue again with more minutes to go on. The folder that comes out goes into **Zero123 Prior**.""",
    ))
