"""Score matching in the plane."""
from ..description import Method, Wire, node

GROUPS = {"explicit": "1  Explicit", "sliced": "2  Sliced", "denoising": "3  Denoising"}

METHOD = Method(
    nodes={
        name: one for objective, group in GROUPS.items() for name, one in {
            objective: node("TrainScoreModel", titled=f"{objective.capitalize()} score matching", within=group,
                 **({} if objective == "explicit" else {"objective": objective})),
            f"panels_{objective}": node(":SaveImage", titled=f"Panels: {objective}", within=group,
                 images=Wire(objective), filename_prefix=f"distill3d/score_{objective}"),
        }.items()
    },
    groups=tuple(GROUPS.values()),
    notes=(
        """\
## Score matching in the plane
A small network learns the score, grad log p, of four Gaussians on a circle, from samples alone. It learns in the three ways that diffusion models come from: explicit ([Hyvärinen 2005](https://jmlr.org/papers/v6/hyvarinen05a.html)), with the trace of the network's Jacobian; sliced ([Song et al. 2019](https://arxiv.org/abs/1905.07088)), with that trace along random directions; denoising ([Vincent 2011](https://doi.org/10.1162/NECO_a_00142); [Song and Ermon 2019](https://arxiv.org/abs/1907.05600)), without a Jacobian, for the density blurred by *sigma*.

The true score is known. Panels from the left: known, learned, ten times the difference, samples of the mixture, Langevin samples of the learned score. Each *report* says the error, 3 to 5 % here. It takes a minute on one core of a processor.""",
    ))
