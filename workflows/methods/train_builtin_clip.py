"""The built-in CLIP, from nothing."""
from ..description import Method, Wire, node

GROUP_1 = "What it learns from"
GROUP_2 = "Training"

METHOD = Method(
    nodes={
        "shape_dataset": node("ShapeDataset", within=GROUP_1),
        "dataset_preview": node("DatasetPreview", within=GROUP_1, dataset=Wire("shape_dataset")),
        "train_clip": node("TrainCLIP", within=GROUP_2, dataset=Wire("shape_dataset")),
        "some_of_the_pictures": node(":SaveImage", titled="Some of the pictures", within=GROUP_1,
                 images=Wire("dataset_preview"), filename_prefix="distill3d/dataset"),
        "what_it_has_learned": node(":SaveImage", titled="What it has learned", within=GROUP_2,
                 images=Wire("train_clip", "samples"), filename_prefix="distill3d/clip_samples"),
    },
    groups=(GROUP_1, GROUP_2),
    notes=(
        """\
## The built-in CLIP, from nothing
Draws captioned pictures of simple shapes and trains a small CLIP on them, an image and a text tower. The layout is that of transformers' CLIPModel with 0.8 million parameters, the loss contrastive over a batch ([Radford et al. 2021](https://arxiv.org/abs/2103.00020)). Each caption is also compared with a false one that differs in one respect.

The picture at the end shows how similar each picture is to each caption. Queue again with more minutes to go on. To use it, write the folder that comes out into **CLIP Tower**.""",
    ))
