"""Save Text Embeddings: the texts of a prompt, encoded once and kept in a file."""
from __future__ import annotations

import torch

from ..comfy import PRIOR, PROMPT, Node, host, io
from ..core.errors import DistillError
from ..core.prior import LoadedPriors
from ..models.t5_text import return_memory
from ..models.text_embeddings import write_embeddings
from .deepfloyd_if import DeepFloydIF


def save_text_embeddings(recipe: DeepFloydIF, prompt, prefix: str):
    """Writes the embeddings of all texts of a prompt below the output folder and returns the path. Reads no UNet."""
    if not isinstance(recipe, DeepFloydIF):
        raise DistillError("Save Text Embeddings: only the DeepFloyd IF Prior can use saved embeddings. Connect that "
                           "one.")
    texts = prompt.all_texts()
    if not texts:
        raise DistillError("Save Text Embeddings: view words in degrees make too many texts, and this prior was not "
                           "trained on them. Choose other view words in View Prompt.")
    device = host().device()
    prior = recipe.load(LoadedPriors(device))
    with torch.no_grad():
        embeddings = prior.encode_prompts(texts).embedding
    path = write_embeddings(host().save_path(prefix, "safetensors"), texts, embeddings)
    del prior, embeddings
    return_memory(device)
    return path


class SaveTextEmbeddingsNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SaveTextEmbeddings", display_name="Save Text Embeddings", category="Distill3D/priors",
            description="Writes the embeddings of a prompt to a file, for runs without the "
                        "text encoder of DeepFloyd IF.",
            search_aliases=["t5", "text encoder", "cache"],
            inputs=[PRIOR.Input("prior", tooltip="A DeepFloyd IF Prior with its text encoder. Its UNet is not loaded."),
                    PROMPT.Input("prompt", tooltip="The negative text and the text of every view are encoded."),
                    io.String.Input("filename_prefix", default="distill3d/embeddings", tooltip="Name below the output "
                                    "folder; a counter is added.")],
            outputs=[io.String.Output("file", tooltip="Name of the file below the output folder, for \"embeddings\" of "
                                      "DeepFloyd IF Prior.")], is_output_node=True)

    @classmethod
    def execute(cls, prior, prompt, filename_prefix="distill3d/embeddings") -> io.NodeOutput:
        entry = host().saved(save_text_embeddings(prior, prompt, filename_prefix))
        name = f'{entry["subfolder"]}/{entry["filename"]}'.lstrip("/")
        return io.NodeOutput(name, ui={"text": [name]})
