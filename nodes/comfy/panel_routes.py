"""The part of the door to ComfyUI that displays progress: the progress bar, and the live panel of web/.

A page reports whether it displays panels. Pages that do get numbers and pictures. Others, such as older pages or
programs over HTTP, get ComfyUI's own preview picture and a line of text.
"""
from __future__ import annotations

import base64
import io
from typing import Mapping

from torch import Tensor

from ...kernels import backend
from . import panel
from .hosts import Progress, host
from .panel import Panel, Panels

NODES = {"Distill3D_Optimize"}  # which carry a panel; web/distill3d.js has the same list
LONGEST = 4096  # bytes of a request
EVENT, WARNING = "distill3d.panel", "distill3d.warning"
_panels = Panels()


class ComfyProgress(Progress):
    shows_pictures = True

    def __init__(self, node_id, title, total):
        super().__init__(node_id, title, total)
        import comfy.utils
        from server import PromptServer

        self._bar = comfy.utils.ProgressBar(total, node_id=node_id)
        self._server, self._panel = PromptServer.instance, None
        run, prompt, workflow = _running(self._server)
        entry = prompt.get(str(node_id), {})
        if entry.get("class_type") in NODES:
            widgets = {name: value for name, value in entry["inputs"].items() if type(value) in (int, float, bool)}
            self._panel = _panels.open(Panel(workflow, str(node_id), run, total, widgets))
            self._send(self._panel.head())

    def show(self, step, text, image, facts):
        on_panel = self._panel is not None and self._server.client_id in _panels.pages
        preview = None if image is None or on_panel else ("JPEG", _picture(image), 1024)
        self._bar.update_absolute(step, self.total, preview)
        if self._panel is not None:
            self._send(self._panel.see(step, "" if image is None else _data_url(image), facts))
        if text and self.node_id is not None and not on_panel:
            self._server.send_progress_text(text, self.node_id)

    def close(self):
        if self._panel is not None:
            self._send(self._panel.end(self._status()))

    def _status(self) -> str:
        from comfy.model_management import InterruptProcessingException

        if self.error is None:
            return panel.FINISHED if self._panel.step >= self.total else panel.ENDED
        return panel.CANCELLED if isinstance(self.error, InterruptProcessingException) else panel.FAILED

    def _send(self, change: Mapping) -> None:
        if self._server.client_id in _panels.pages:
            self._server.send_sync(EVENT, change, self._server.client_id)


def begin() -> None:
    """A node begins to run: its warnings are those of this run from now on."""
    place = _place()
    if place:
        _panels.begin(place["workflow"], place["node"])


def tell(text: str) -> None:
    """Sends a warning of the node that runs now to the page that asked for the run, and keeps it for a reloaded one."""
    from server import PromptServer

    place = _place()
    if place:
        _panels.warn({**place, "text": text})
        PromptServer.instance.send_sync(WARNING, {**place, "text": text}, PromptServer.instance.client_id)


def _place() -> dict[str, str] | None:
    """The node that runs in this thread; None in a thread of the node's own."""
    from comfy_execution.utils import get_executing_context
    from server import PromptServer

    running = get_executing_context()
    return running and {"workflow": _running(PromptServer.instance)[2], "node": str(running.node_id),
                        "run": running.prompt_id}


def reference(node_id: str) -> dict:
    """The node's part of the run in progress, as web/distill3d.js asks for it."""
    from server import PromptServer

    return {"distill3d_panel": [_running(PromptServer.instance)[0], str(node_id)]}


def running() -> tuple[str, dict, str]:
    """Of what runs now: its id, the prompt in API format, and the id of the workflow."""
    from server import PromptServer
    return _running(PromptServer.instance)


def _running(server) -> tuple[str, dict, str]:
    """Of what runs now: its id, the prompt in API format, and the id of the workflow, "" where it came without one."""
    for _, run, prompt, extra, *_ in server.prompt_queue.get_current_queue_volatile()[0]:
        workflow = (extra.get("extra_pnginfo") or {}).get("workflow") or {}
        return run, prompt, str(workflow.get("id") or "")
    return "", {}, ""


def _picture(image: Tensor):
    from PIL import Image

    return Image.fromarray((image.detach().clamp(0, 1) * 255).byte().cpu().numpy())


def _data_url(image: Tensor) -> str:
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def register_routes() -> None:
    """What panels are fed and steered by.

    POST /distill3d/finish {"node": id} ends that node's stage and keeps its result. Without "node" it ends the stage
    that runs. Answers 409 when that node does not run.
    Requests with a body are JSON objects of at most LONGEST bytes; others are answered with 400.
    POST /distill3d/panels {"page": client id, "on": bool} says whether a page shows panels.
    GET /distill3d/panels?workflow=id gives the last runs of its nodes; ?run=id&node=id that run of a node.
    GET /distill3d/warnings?workflow=id gives those of the last run of each of its nodes that warned.
    GET /distill3d/kernels gives the backend that ran each op last, and why others were passed over, by "op backend".
    """
    from aiohttp import web
    from comfy_execution.progress import NodeState, get_progress_state
    from server import PromptServer

    routes = PromptServer.instance.routes

    async def read(request) -> dict | None:
        """The JSON object of a request that says that it is one and is small; None otherwise. A page of another site
        cannot send that type without asking first."""
        if request.content_type != "application/json" or not 0 < (request.content_length or 0) <= LONGEST:
            return None
        try:
            body = await request.json()
        except (ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None

    @routes.post("/distill3d/finish")
    async def finish(request):
        body = await read(request)
        if body is None:
            return web.json_response({"error": 'Send a JSON object: {"node": id}.'}, status=400)
        asked = body.get("node")
        running = [node for node, entry in get_progress_state().nodes.items() if entry["state"] is NodeState.Running]
        ending = [node for node in running if asked is None or node == str(asked)]
        for node in ending:
            host().finish_now(node)
        if not ending:
            return web.json_response({"error": "No such node runs now.", "running": running}, status=409)
        return web.json_response({"ok": True})

    @routes.post("/distill3d/panels")
    async def see(request):
        body = await read(request)
        if body is None or not isinstance(body.get("page"), str) or not isinstance(body.get("on"), bool):
            return web.json_response({"error": 'Send a JSON object: {"page": client id, "on": true or false}.'},
                                     status=400)
        _panels.see(body["page"], body["on"])
        return web.json_response({"ok": True})

    @routes.get("/distill3d/warnings")
    async def warnings(request):
        return web.json_response(_panels.warnings(request.query.get("workflow", "")))

    @routes.get("/distill3d/kernels")
    async def kernels(request):
        return web.json_response({"ran": backend.ran(), "reasons": {" ".join(key): reason
                                                                    for key, reason in backend.reasons().items()}})

    @routes.get("/distill3d/panels")
    async def fetch(request):
        asked = request.query
        return web.json_response(_panels.find(asked["run"], asked.get("node", "")) if "run" in asked
                                 else _panels.of(asked.get("workflow", "")))
