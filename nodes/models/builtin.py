"""The folders of the built-in models: small ones, each in the published layout of a large one."""
from pathlib import Path

_WEIGHTS = Path(__file__).with_name("weights")

BUILTIN_FOLDER = _WEIGHTS / "builtin"  # a DeepFloyd IF stage I pipeline
BUILTIN_ZERO123 = _WEIGHTS / "builtin_zero123"
BUILTIN_MVDREAM = _WEIGHTS / "builtin_mvdream"
BUILTIN_NORMAL_DEPTH = _WEIGHTS / "builtin_normal_depth"  # RichDreamer's ND-MV
BUILTIN_CLIP = _WEIGHTS / "builtin_clip"  # in the layout of openai/clip-vit-base-patch32
