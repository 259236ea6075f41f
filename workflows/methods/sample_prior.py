"""What a prior knows."""
from ..description import Method, Wire, node

GROUP_1 = "What to ask"
GROUP_2 = "Two samplers"

METHOD = Method(
    nodes={
        "builtin_prior": node("BuiltinPrior", within=GROUP_1),
        "view_prompt": node("ViewPrompt", within=GROUP_1, text="a blue sphere on top of a green cylinder",
                 views="degrees"),
        "sample_prior": node("SamplePrior", within=GROUP_2, prior=Wire("builtin_prior"),
                 prompt=Wire("view_prompt"), images=8, azimuth=0.0, azimuth_step=45.0, steps=60,
                 distance=3.2),
        "langevin_sample": node("LangevinSample", within=GROUP_2, prior=Wire("builtin_prior"),
                 prompt=Wire("view_prompt"), images=8, azimuth=0.0, azimuth_step=45.0, distance=3.2),
        "ddpm_samples": node(":SaveImage", titled="DDPM samples", within=GROUP_2, images=Wire("sample_prior"),
                 filename_prefix="distill3d/samples"),
        "langevin_samples": node(":SaveImage", titled="Langevin samples", within=GROUP_2,
                 images=Wire("langevin_sample"), filename_prefix="distill3d/langevin"),
    },
    groups=(GROUP_1, GROUP_2),
    notes=(
        """\
## Samples of a prior
Samples of a prior without 3D, with views around the object in steps of 45 degrees: above by ancestral (DDPM) sampling, below by annealed Langevin dynamics on its score.

If these are wrong, score distillation with the same prior will be wrong too. No GPU is needed: a minute and 0.5 GB of memory on one CPU core.""",
    ))
