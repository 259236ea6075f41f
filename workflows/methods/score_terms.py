"""Score distillation by a formula, with the built-in prior."""
from ..block import bake_and_save, named_files, trained
from ..description import Wire, node
from .dreamfusion import GROUP_2
from .dreamfusion import METHOD as BASE

METHOD = BASE.differing(
    without=["sds_loss"],
    numbers={
        "sparsity_loss.losses": Wire("score_terms_loss"),
        **named_files("score_terms"),
    },
    nodes={
        "score_terms_loss": node("ScoreTermsLoss", within=GROUP_2, prior=Wire("builtin_prior"),
                 prompt=Wire("view_prompt"), guidance=3.0, t_min=Wire("smallest_timestep"),
                 t_max=Wire("largest_timestep")),
    },
    stages=(
        trained("Score distillation stage", "optimize", "Score distillation of a prior into a volume, by a formula.",
                resolution="objective.resolution", views_a_step="objective.batch", method="score_terms_loss.method",
                guidance="score_terms_loss.guidance"),
        bake_and_save(),
    ),
    notes=(
        """\
## Score distillation as a table, with the built-in prior
Most methods of score distillation are one weighted sum of predictions of one model. **Score Terms Loss** has a row for each: choose its *method*, and its tooltip shows the formula. Write into *formula* to try one of your own, such as *s text + (1 - s) negative - noise*.

* **sds** DreamFusion, **hifa** adds a term on pixels, **rfds** and **rfds-rev** for flow models such as SD3
* **csd**, **nfsd**: without the added noise in the sum
* **asd**, **ism**: the difference to the prediction at another timestep
* **sdi**: sds, with the noise that DDIM inversion finds
* **dds**: an edit of an object that is there. Connect a second View Prompt with the object's own text to *source*

The object, the views and the regularisers are those of the DreamFusion workflow. The table of all methods is in docs/score_terms.md.""",
    ))
