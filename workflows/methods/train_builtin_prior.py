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
## The built-in prior, from scratch
Trains a small text-to-image diffusion model on generated, captioned pictures of simple shapes (2.3 million parameters, 32x32 pixels, the layout of DeepFloyd IF stage I). Its text encoder is pretrained on captions first.

The shipped weights were trained on one to two CPU cores in several such runs, each continuing the one before (**start**), about five hours in all. A GPU allows a larger batch.

States, sample sheets and the prior are saved in `folder` below the output folder. To continue, press Run again with more minutes. To use the prior, choose its folder in **Built-in Prior**.""",
    ))
