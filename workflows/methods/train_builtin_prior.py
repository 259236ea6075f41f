"""The built-in prior, from nothing."""
from ..description import Method, Wire, node

GROUP_1 = "What it learns from"
GROUP_2 = "Training"

METHOD = Method(
    nodes={
        "shape_dataset": node("ShapeDataset", within=GROUP_1),
        "dataset_preview": node("DatasetPreview", within=GROUP_1, dataset=Wire("shape_dataset")),
        "train_prior": node("TrainPrior", within=GROUP_2, dataset=Wire("shape_dataset"), minutes=240.0, batch=16),
        "some_of_the_pictures": node(":SaveImage", titled="Some of the pictures", within=GROUP_1,
                 images=Wire("dataset_preview"), filename_prefix="distill3d/dataset"),
        "what_it_has_learned": node(":SaveImage", titled="What it has learned", within=GROUP_2,
                 images=Wire("train_prior", "samples"), filename_prefix="distill3d/prior_samples"),
    },
    groups=(GROUP_1, GROUP_2),
    notes=(
        """\
## The built-in prior, from nothing
Draws captioned pictures of simple shapes and teaches a small text-to-image diffusion model (2.3 million parameters, 32x32 pixels, the layout of DeepFloyd IF stage I) to paint them. First its text encoder reads captions, then the whole network paints.

The shipped weights were trained on two CPU cores in several runs of this kind, each going on from the one before (**start**), three and a quarter hours in all; a GPU takes a larger batch and gets further.

States, sample sheets and the prior itself are kept in the folder below the output folder; queue again with more minutes to go on. To use it, write the folder that comes out into **Built-in Prior**.""",
    ))
