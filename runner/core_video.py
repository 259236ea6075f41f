"""Core's video nodes without ComfyUI: CreateVideo and SaveVideo, through PyAV."""
from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import torch
from torch import Tensor

from ..nodes.comfy import host, io
from ..nodes.core.errors import DistillError, MissingPackage
from ..nodes.core.state import write_atomically
from .core_image import pixels
from .core_node import CoreNode

VIDEO, AUDIO = io.Custom("VIDEO"), io.Custom("AUDIO")

# What a player opens everywhere comes first; the second of each is its quality setting.
_ENCODERS = {"h264": ("libx264", {"crf": "16", "preset": "medium"}),
             "av1": ("libsvtav1", {"crf": "28", "preset": "7"}),
             "vp9": ("libvpx-vp9", {"crf": "24", "b:v": "0"})}
_CONTAINERS = {"mp4": "mp4", "mkv": "matroska", "webm": "webm"}


@dataclass(frozen=True)
class Video:
    """What a VIDEO wire carries here: frames [B,H,W,3] in [0,1] at `fps` a second, without sound."""

    images: Tensor
    fps: float


def encode_video(video: Video, container: str = "mp4", codec: str = "auto") -> bytes:
    """The bytes of a video file. container: "mp4", "mkv" or "webm"; codec: "h264", "av1", "vp9" or "auto".

    Codecs need even sizes, so the last row or column of an odd side is repeated. Raises DistillError.
    """
    try:
        import av
    except ImportError as error:
        raise MissingPackage("av", "Saving a video") from error

    codec = ("vp9" if container == "webm" else "h264") if codec == "auto" else codec
    if container == "webm" and codec == "h264":
        raise DistillError('A WebM file cannot hold h264. Choose format "mp4", or codec "auto" or "av1".')
    encoder, options = _ENCODERS[codec]
    if encoder not in av.codecs_available:
        raise DistillError(f'The installed PyAV has no encoder "{encoder}" for {codec}. Choose another codec, or '
                           "install the wheel: pip install --force-reinstall av")
    frames = pixels(_even(video.images[..., :3]))
    data = BytesIO()
    with av.open(data, "w", format=_CONTAINERS[container]) as file:
        stream = file.add_stream(encoder, rate=Fraction(video.fps).limit_denominator(1000), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return data.getvalue()


def _even(images: Tensor) -> Tensor:
    if images.shape[1] % 2:
        images = torch.cat([images, images[:, -1:]], 1)
    if images.shape[2] % 2:
        images = torch.cat([images, images[:, :, -1:]], 2)
    return images


class CreateVideo(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="CreateVideo", display_name="Create Video", category="video",
            description="Makes a video of a batch of pictures.",
            inputs=[io.Image.Input("images", tooltip="The frames."),
                    io.Float.Input("fps", default=30.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second."),
                    AUDIO.Input("audio", optional=True, tooltip="Not used without ComfyUI."),
                    io.Int.Input("bit_depth", default=8, min=8, max=10, step=2, optional=True,
                                 tooltip="Always 8 without ComfyUI.")],
            outputs=[VIDEO.Output("VIDEO")])

    @classmethod
    def execute(cls, images, fps=30.0, audio=None, bit_depth=8):
        return io.NodeOutput(Video(images, fps))


class SaveVideo(CoreNode):
    # The host nests the codec below the format since it can depend on it.
    other_names = {"format.codec": "codec"}

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SaveVideo", display_name="Save Video", category="video", is_output_node=True,
            description="Writes a video to the output folder.",
            inputs=[VIDEO.Input("video", tooltip="The video."),
                    io.String.Input("filename_prefix", default="video/ComfyUI", tooltip="Start of the file name; may "
                                    "name a subfolder."),
                    io.Combo.Input("format", options=["auto", *_CONTAINERS], tooltip="Kind of file; auto is mp4."),
                    io.Combo.Input("codec", options=["auto", "h264", "av1"], optional=True,
                                   tooltip="auto: h264, in WebM vp9.")],
            outputs=[VIDEO.Output("video")])

    @classmethod
    def execute(cls, video, filename_prefix="video/ComfyUI", format="auto", codec="auto"):
        container = "mp4" if format == "auto" else format
        path = write_atomically(host().save_path(filename_prefix, container), encode_video(video, container, codec))
        return io.NodeOutput(video, ui={"images": [host().saved(path)], "animated": (True,)})
