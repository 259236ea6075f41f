"""The class of the stand-ins for nodes of ComfyUI."""
from __future__ import annotations

from ..nodes.comfy import Node


class CoreNode(Node):
    """lenient: inputs that the stand-in does not have are ignored, as in ComfyUI."""

    lenient = True
