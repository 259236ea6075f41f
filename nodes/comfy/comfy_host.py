"""`Host` in ComfyUI."""
from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import torch

from ..core.errors import DistillError
from ..core.state_folder import Limits
from . import panel_routes
from .hosts import Host
from .warnings import collect


class ComfyHost(Host):
    """See Host. Folders, device, interrupts and memory are ComfyUI's; progress goes to the panel of the page."""

    def __init__(self):
        import folder_paths
        super().__init__(folder_paths.get_output_directory())
        self._cancellable = ""
        self.is_running = True  # `run` tells runs apart

    @property
    def input_directory(self):
        import folder_paths
        return Path(folder_paths.get_input_directory())

    def state_limits(self):
        import folder_paths
        try:
            file = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
            settings = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            settings = {}

        def value(name):
            given = os.environ.get(f"DISTILL3D_STATES_{name.upper()}")
            return settings.get(f"Distill3D.States.{name}") if given is None else given

        return Limits.read(value)

    def model_folders(self, kind):
        import folder_paths
        known = kind in folder_paths.folder_names_and_paths
        return [Path(path) for path in (folder_paths.get_folder_paths(kind) if known
                                        else [os.path.join(folder_paths.models_dir, kind)])]

    def clip_tokenizer(self):
        import comfy.sd1_clip
        own = Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"
        return own if (own / "vocab.json").is_file() else super().clip_tokenizer()

    def device(self):
        import comfy.model_management
        return comfy.model_management.get_torch_device()

    def half_precision(self, device, half):
        from comfy import model_management

        tests = {torch.float16: model_management.should_use_fp16, torch.bfloat16: model_management.should_use_bf16}
        return next((kind for kind in sorted(tests, key=lambda kind: kind != half) if tests[kind](device)),
                    torch.float32)

    def check(self):
        import comfy.model_management
        try:
            comfy.model_management.throw_exception_if_processing_interrupted()
        except BaseException:
            self.cancel_stages()
            raise

    def when_cancelled(self, call):
        run = _in_this_run("")
        if run != self._cancellable:  # calls kept by an earlier run are obsolete
            self._cancellable, self._when_cancelled = run, []
        super().when_cancelled(call)

    def finish_now(self, node_id):
        super().finish_now(_in_this_run(node_id))

    def should_finish(self, node_id):
        return super().should_finish(_in_this_run(node_id))

    def progress(self, node_id, title, total):
        return panel_routes.ComfyProgress(node_id, title, total)

    def panel(self, node_id):
        return panel_routes.reference(node_id)

    def begin(self):
        panel_routes.begin()

    def warn(self, text):
        import logging
        if collect(text):
            logging.getLogger("distill3d").warning(text)
            panel_routes.tell(text)

    def run(self):
        run, prompt, _ = panel_routes.running()
        given = [entry["inputs"].get("filename_prefix") for entry in prompt.values()
                 if entry["class_type"].startswith("Distill3D_")]
        return run or None, [name for name in given if isinstance(name, str) and name.strip()]

    def notes(self, hidden):
        from comfy.cli_args import args
        return {} if args.disable_metadata else super().notes(hidden)

    def read_splat_file(self, file, node):
        try:
            from comfy_extras.nodes_gaussian_splat import File3DToSplat
        except ImportError:
            return super().read_splat_file(file, node)
        try:
            return File3DToSplat.execute(file).args[0]
        except (ValueError, IndexError, OSError, struct.error) as error:
            raise DistillError(f"{node}: the .{file.format} file cannot be read as a splat ({error}).") from error

    def free_memory(self, size):
        import comfy.model_management
        comfy.model_management.free_memory(size, self.device())


def _in_this_run(node_id: str) -> str:
    """The key of a node in the current run, so that a late request cannot end the node's next run."""
    from comfy_execution.progress import get_progress_state
    return f"{get_progress_state().prompt_id} {node_id}"
