"""The class of the stand-ins for nodes of ComfyUI."""
from __future__ import annotations

from ..nodes.comfy import Node


class CoreNode(Node):
    """lenient: inputs of a file that the stand-in does not have are ignored, as the host does."""

    lenient = True
