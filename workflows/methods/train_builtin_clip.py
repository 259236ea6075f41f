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
## The built-in CLIP, from scratch
Trains a small CLIP (an image and a text tower) on generated, captioned pictures of simple shapes. It has the layout of transformers' CLIPModel with 0.8 million parameters; the loss is contrastive over a batch ([Radford et al. 2021](https://arxiv.org/abs/2103.00020)). Each caption is also compared with a false one that differs in one respect.

The picture at the end shows how similar each picture is to each caption. To continue, press Run again with more minutes. To use the model, choose its folder in **CLIP Tower**.""",
    ))
