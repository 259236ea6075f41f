"""Run by test_prompt_weights.py with ComfyUI's interpreter inside its checkout: tokens and embeddings of prompts by its
own encoder and by the pack's, of one tiny CLIP. Prints one JSON object."""
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "parts"))
import comfyui_tiny  # noqa: F401  first: it asks for the CPU

# isort: split
import comfy.sd1_clip
import torch

PACK = Path(__file__).resolve().parents[3]
LONG = "red " * 90
TEXTS = ["a red cube", "a (red:1.3) cube", "((re) d:0.7), (front view)", "\\(red\\) re", LONG, LONG + "(front "
         "view:1.5)",
         "re " * 73 + "(red re red:1.2) d", "", "(red:0)", "re (re (re (re))) :) (d"]


def load_pack():
    spec = importlib.util.spec_from_file_location("distill3d", PACK / "__init__.py",
                                                  submodule_search_locations=[str(PACK)])
    sys.modules["distill3d"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["distill3d"])


def gap(one, other):
    return float((one - other).abs().max() / other.abs().max()) if one.shape == other.shape else 9.0


load_pack()
from transformers import CLIPTextConfig, CLIPTextModel  # noqa: E402

from distill3d.nodes.models.clip_text import ClipText, read_tokenizer  # noqa: E402
from tiny_sd import VOCABULARY, write_tokenizer  # noqa: E402

folder = write_tokenizer(Path(tempfile.mkdtemp()) / "tokenizer")
size = len(VOCABULARY)
sizes = dict(vocab_size=49408, hidden_size=64, intermediate_size=128, num_attention_heads=1, num_hidden_layers=3,
             max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=size - 2, eos_token_id=size - 1,
             pad_token_id=size - 1, projection_dim=64)
torch.manual_seed(0)
model = CLIPTextModel(CLIPTextConfig(**sizes)).eval()
ours = ClipText(model, read_tokenizer(folder, "test"))
config = json.loads((Path(comfy.sd1_clip.__file__).parent / "sd1_clip_config.json").read_text())
host = comfy.sd1_clip.SDClipModel(device="cpu",
                                  model_options={"model_name": "clip_l", "clip_l_model_config": {**config, **sizes}},
                                  dtype=torch.float32, return_projected_pooled=False,
                                  special_tokens={"start": size - 2, "end": size - 1, "pad": size - 1})
weights = {key if key.startswith("text_model.") else f"text_model.{key}": value
           for key, value in model.state_dict().items() if "position_ids" not in key}
missing = [key for key in host.transformer.load_state_dict(weights, strict=False).missing_keys
           if "text_projection" not in key]
assert not missing, missing
tokenizer = comfy.sd1_clip.SDTokenizer(tokenizer_path=str(folder), embedding_size=64)
found = {}
for text in TEXTS:
    rows = tokenizer.tokenize_with_weights(text)
    with torch.inference_mode():
        hidden, pooled = host.encode_token_weights(rows)[:2]
        own, own_pooled = ours([text])
    same = [[(int(number), round(weight, 5)) for number, weight in row] for row in rows] == [
        [(number, round(weight, 5)) for number, weight in row] for row in ours._windows(text)]
    found[text] = same, gap(own, hidden.float()), gap(own_pooled, pooled.float())
print("MEASURED " + json.dumps(found))
