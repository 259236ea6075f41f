"""Variational score distillation, with the built-in prior."""
from ..block import bake_and_save, named_files, trained
from ..description import Wire, node
from .dreamfusion import METHOD as BASE

GROUP_1 = "1  Scene: what is optimised"
GROUP_2 = "2  Prior and losses: what it should become"
GROUP_3 = "3  Views, light and the loop"
GROUP_4 = "4  Export"

METHOD = BASE.differing(
    without=["sds_loss"],
    numbers={
        "sparsity_loss.losses": Wire("vsd_loss"),
        **named_files("variational"),
    },
    nodes={
        "vsd_loss": node("VSDLoss", within=GROUP_2, prior=Wire("builtin_prior"), lora=Wire("lo_ra_prior"),
                 prompt=Wire("view_prompt"), guidance=3.0, t_min=Wire("smallest_timestep"),
                 t_max=Wire("largest_timestep"), lora_rate=0.001),
        "lo_ra_prior": node("LoRAPrior", within=GROUP_2, prior=Wire("builtin_prior")),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4),
    stages=(
        trained("Variational stage", "optimize", "Variational score distillation of a prior into a volume.",
                keeps=("lo_ra_prior",), resolution="objective.resolution", views_a_step="objective.batch",
                guidance="vsd_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## Variational score distillation, with the built-in prior
Text to a textured 3D object by VSD ([Wang et al. 2023](https://arxiv.org/abs/2305.16213), ProlificDreamer): the gradient is the difference between the scores of the prior and of a second model that is trained on the renderings.

**LoRA Prior** is the second model: low-rank weights on the network of **Built-in Prior**, which **VSD Loss** trains at every step. Its training error is one of the curves of the run.

Everything else is as in *dreamfusion*, so that the two can be compared. *prolificdreamer* has the published numbers for Stable Diffusion. No GPU is needed: two and a half minutes and 1 GB of memory on one CPU core.""",
    ))
