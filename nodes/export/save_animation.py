"""Save Animation: a batch of pictures as a looping animation or a video."""
from __future__ import annotations

import io as streams
from pathlib import Path
from typing import Mapping

from torch import Tensor

from ..assets.notes import exif, lines
from ..comfy import Node, host, io
from ..core.errors import DistillError, MissingPackage
from ..core.state import write_atomically

NAME = "Save Animation"
FORMATS = ("webp", "gif", "mp4")


def animation_bytes(images: Tensor, fps: float, file_format: str, notes: Mapping[str, str] | None = None) -> bytes:
    """images [N,H,W,3] in [0,1] as one file, N / fps seconds long.

    "webp" and "gif" loop for ever (Pillow); "mp4" is H.264 (PyAV), the last row or column doubled where a side is odd.
    GIF counts hundredths of a second and most players slow down below two: fps above 50 becomes 50 there.
    notes: what the file carries of the workflow, see assets/notes.py.
    Raises DistillError for anything but pictures, MissingPackage.
    """
    if file_format not in FORMATS:
        raise DistillError(f'{NAME}: format must be one of {", ".join(FORMATS)}, got "{file_format}".')
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or len(images) == 0:
        raise DistillError(f"{NAME}: images must have shape [N,H,W,3] with N > 0, got {list(images.shape)}.")
    frames = (images[..., :3].detach().clamp(0, 1) * 255 + 0.5).byte().cpu().numpy()
    if file_format == "mp4":
        return _video(frames, fps, notes or {})
    return _pictures(frames, fps, file_format, notes or {})


def _pictures(frames, fps: float, file_format: str, notes: Mapping[str, str]) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("Pillow", f"{NAME}: {file_format}") from error
    first, *rest = [Image.fromarray(frame) for frame in frames]
    if file_format == "gif":
        # One palette for each frame: a common one would band the turning object.
        options = {"duration": max(20, round(100 / fps) * 10), "optimize": False, "disposal": 2}
        if notes:
            options["comment"] = "\n".join(lines(notes)).encode()
    else:
        options = {"duration": round(1000 / fps), "quality": 90, "method": 4}
        if notes and file_format == "webp":
            options["exif"] = exif(first, notes)
    file = streams.BytesIO()
    first.save(file, file_format.upper(), save_all=True, append_images=rest, loop=0, **options)
    return file.getvalue()


def _video(frames, fps: float, notes: Mapping[str, str]) -> bytes:
    try:
        import av
    except ImportError as error:
        raise MissingPackage("av", f"{NAME}: mp4", "webp and gif work without it.") from error
    from fractions import Fraction

    import numpy

    height, width = frames.shape[1:3]
    frames = numpy.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    file = streams.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "use_metadata_tags"} if notes else {}) as container:
        container.metadata.update(notes)
        video = container.add_stream("h264", rate=Fraction(fps).limit_denominator(1000), options={"crf": "18"})
        video.height, video.width, video.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
    return file.getvalue()


def save_animation(images: Tensor, prefix: str, fps: float = 12.0, file_format: str = "webp",
                   notes: Mapping[str, str] | None = None) -> Path:
    """Writes prefix_00001_.webp (the next free number) in the output folder. Errors: `animation_bytes`, and
    DistillError when the prefix leads out of the output folder."""
    path = host().save_path(prefix, file_format)
    return write_atomically(path, animation_bytes(images, fps, file_format, notes))


class SaveAnimationNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SaveAnimation", display_name=NAME, category="Distill3D/export", is_output_node=True,
            description="Saves a batch of pictures as a looping WebP or GIF or an MP4 video, with a counter in the "
                        "name.",
            search_aliases=["save gif", "save video", "save webp", "save mp4", "turntable"],
            inputs=[
                io.Image.Input("images", tooltip="The pictures in order, e.g. of Turntable."),
                io.String.Input("filename_prefix", default="distill3d/turntable",
                                tooltip="Name in the output folder, may begin with a subfolder. A counter is added."),
                io.Float.Input("fps", default=12.0, min=0.1, max=120.0, step=0.5, tooltip="Pictures per second."),
                io.Combo.Input("format", options=list(FORMATS), default="webp",
                               tooltip="webp: small, all colours. gif: plays everywhere. mp4: H.264 video.")],
            outputs=[], hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo])

    @classmethod
    def execute(cls, images, filename_prefix="distill3d/turntable", fps=12.0, format="webp") -> io.NodeOutput:
        saved = host().saved(save_animation(images, filename_prefix, fps, format, host().notes(cls.hidden)))
        return io.NodeOutput(ui={"images": [saved], "animated": (True,)})
