"""A small MVDream, from nothing."""
from ..description import Method, Wire, node

GROUP_1 = "What it learns from"
GROUP_2 = "Training"

METHOD = Method(
    nodes={
        "shape_views": node("ShapeViews", within=GROUP_1),
        "dataset_preview": node("DatasetPreview", within=GROUP_1, dataset=Wire("shape_views"), count=12),
        "train_mv_dream_prior": node("TrainMVDreamPrior", within=GROUP_2, dataset=Wire("shape_views"), minutes=240.0,
                 autoencoder="built-in"),
        "some_of_the_pictures": node(":SaveImage", titled="Some of the pictures", within=GROUP_1,
                 images=Wire("dataset_preview"), filename_prefix="distill3d/mvdream_dataset"),
        "what_it_has_learned": node(":SaveImage", titled="What it has learned", within=GROUP_2,
                 images=Wire("train_mv_dream_prior", "samples"),
                 filename_prefix="distill3d/mvdream_samples"),
    },
    groups=(GROUP_1, GROUP_2),
    notes=(
        """\
## A small MVDream, from nothing
Draws four views of each of many simple shapes and teaches a small model of four views (the layout of MVDream) to paint them together, from a caption and the cameras. Its text encoder reads captions first.

The autoencoder is that of the pack's small Zero123; empty **autoencoder** trains a new one. **start** "built-in" goes on from the weights that come with the pack.

States, sample sheets and the prior itself are kept in the folder below the output folder; queue again with more minutes to go on. The folder that comes out goes into **MVDream Prior**.""",
    ))
