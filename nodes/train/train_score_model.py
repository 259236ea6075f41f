"""Train Score Model: score matching on a mixture whose score is known."""

from __future__ import annotations

from ..comfy import Node, host, io, seed_input
from .score_model import OBJECTIVES, Ring, ScoreRecipe, score_error, train_score_model
from .score_panel import score_panels
from .training_run import outside_inference_mode

TITLE = "Train Score Model"


class TrainScoreModelNode(Node):
    advanced = ("width", "learning_rate", "modes", "radius", "deviation", "seed")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TrainScoreModel", display_name=TITLE, category="Distill3D/train",
            description="Learns the score of a known mixture in the plane by explicit, sliced or denoising score "
                        "matching, and compares it with the true one.",
            search_aliases=["score matching", "langevin", "hutchinson", "ncsn"],
            inputs=[
                io.Combo.Input("objective", options=list(OBJECTIVES), default=OBJECTIVES[0], tooltip="explicit: with "
                               "the exact trace of the Jacobian; sliced: with its estimate by random directions; "
                               "denoising: from noisy samples, without a Jacobian."),
                io.Float.Input("sigma", default=0.3, min=0.01, max=10.0, step=0.01, tooltip="Noise of the objective "
                               "denoising, which learns the score of the mixture blurred by it."),
                io.Int.Input("steps", default=3000, min=1, max=1_000_000, tooltip="Training steps."),
                io.Int.Input("batch", default=1024, min=1, max=1_000_000, tooltip="Samples per step."),
                io.Int.Input("width", default=64, min=1, max=4096, tooltip="Width of the network's two layers."),
                io.Float.Input("learning_rate", default=5e-3, min=1e-7, max=1.0, step=1e-4, round=False,
                               tooltip="Adam's, falling to 0 by a cosine."),
                io.Int.Input("modes", default=4, min=1, max=64, tooltip="Gaussians on a circle; the k-th weighs k."),
                io.Float.Input("radius", default=1.5, min=0.0, max=100.0, step=0.1, tooltip="Of the circle."),
                io.Float.Input("deviation", default=0.5, min=0.01, max=100.0, step=0.01, tooltip="Standard deviation "
                               "of each Gaussian."),
                seed_input(),
            ],
            outputs=[
                io.Image.Output("panels", tooltip="From the left: the known score (the hue is its direction), the "
                                "learned one, ten times their difference, samples of the mixture, Langevin samples."),
                io.Float.Output("error", tooltip="Root mean square error of the score, relative to the score's own "
                                "size."),
                io.String.Output("report", tooltip="Objective and error in a sentence."),
            ],
            hidden=[io.Hidden.unique_id], is_output_node=True)

    @classmethod
    @outside_inference_mode
    def execute(cls, objective=OBJECTIVES[0], sigma=0.3, steps=3000, batch=1024, width=64, learning_rate=5e-3, modes=4,
                radius=1.5, deviation=0.5, seed=0) -> io.NodeOutput:
        ring, recipe = Ring(modes, radius, deviation), ScoreRecipe(objective, sigma, steps, batch, width, learning_rate,
                                                                   seed)
        progress = host().progress(cls.hidden.unique_id, TITLE, steps)

        def watch(step: int, total: int, loss: float) -> None:
            host().check()
            progress.update(step, f"{step}/{total}  loss {loss:.4f}", None, {"loss": loss})

        try:
            network = train_score_model(ring, recipe, watch)
        finally:
            progress.close()
        error = score_error(network, ring, recipe.blur)
        report = f"{objective} score matching, {steps} steps: error {100 * error:.1f} % of the score"
        return io.NodeOutput(score_panels(network, ring, recipe.blur)[None], error, report, ui={"text": [report]})
