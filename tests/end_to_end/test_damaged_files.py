"""Every reader of files, given damaged ones: a DistillError or a result, in bounded time and memory.

DAMAGED_FILES=1000 tries as many of each kind, instead of a few.
"""

import functools
import json
import os
import resource
import struct
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.assets.mesh_file import glb_bytes, obj_files, ply_bytes
from distill3d.nodes.assets.mesh_reader import read_mesh
from distill3d.nodes.assets.picture_file import read_frames
from distill3d.nodes.assets.splat_file import ply_bytes as splat_bytes
from distill3d.nodes.assets.splat_file import read_ply
from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.state import read_state, save_state
from distill3d.nodes.models.checkpoint_file import CheckpointFile
from distill3d.nodes.models.clip_text import read_tokenizer
from distill3d.nodes.models.pipeline_folder import load_network, read_scheduler
from distill3d.nodes.models.text_embeddings import read_embeddings, write_embeddings
from distill3d.nodes.train.trainer import Trainer
from distill3d.runner import schema
from distill3d.runner.check import checked
from distill3d.runner.listing import find_workflow
from distill3d.runner.workflow_file import read_graph
from gltf_builder import QUAD, GltfBuilder, png
from mutation import damaged, damaged_tree
from random_splat import random_splat

TRIES = int(os.environ.get("DAMAGED_FILES", 0))
SECONDS, BYTES = 5.0, 2 << 30
CORNERS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
TEXTURED = Mesh(CORNERS, FACES, torch.rand(4, 2), torch.rand(8, 8, 3))
registry = functools.cache(schema.default_registry)


def rich_glb():
    """With most of what the reader knows."""
    one = GltfBuilder()
    one.mesh(
        {
            "POSITION": QUAD,
            "NORMAL": QUAD,
            "TEXCOORD_0": QUAD[:, :2].copy(),
            "COLOR_0": np.ones((4, 4), np.float32),
            "JOINTS_0": np.zeros((4, 4), np.uint8),
            "WEIGHTS_0": np.ones((4, 4), np.float32),
        },
        [0, 1, 2, 0, 2, 3],
        material=0,
    )
    one.tree["materials"] = [
        one.picture(np.zeros((4, 4, 4), np.uint8), extensions={"KHR_texture_transform": {"scale": [2, 2]}})
        | {"alphaMode": "MASK"}
    ]
    one.tree["skins"] = [
        {"joints": [1], "inverseBindMatrices": one.accessor(np.eye(4, dtype=np.float32).reshape(1, 16))}
    ]
    moves = one.accessor(QUAD)
    one.tree["nodes"] = [
        {"mesh": 0, "skin": 0, "children": [1]},
        {
            "mesh": 0,
            "rotation": [0, 0, 0, 1],
            "extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": moves}}},
        },
    ]
    one.tree["accessors"][0]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": one.view(b"\1"), "componentType": 5121},
        "values": {"bufferView": one.view(np.ones(3, np.float32).tobytes())},
    }
    return one


def glb_of(tree, data):
    text = json.dumps(tree).encode()
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


TEXT_PLY = (
    b"ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    b"property uchar red\n"
    b"property uchar green\nproperty uchar blue\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n"
    b"0 0 0 1 2 3\n1 0 0 1 2 3\n1 1 0 1 2 3\n0 1 0 1 2 3\n4 0 1 2 3\n3 0 1 2\n"
)
TEXT_STL = (
    b"solid a\n"
    + b"facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n" * 3
    + b"endsolid"
)
FILES = {
    "plain.glb": glb_bytes(TEXTURED),
    "rich.glb": rich_glb().glb(),
    "a.ply": ply_bytes(TEXTURED),
    "text.ply": TEXT_PLY,
    "text.stl": TEXT_STL,
    "a.stl": b" " * 80 + struct.pack("<I", 2) + b"\0" * 100,
    **{name: data for name, data in obj_files(TEXTURED, "a").items() if not name.endswith("png")},
}
API = {
    "1": {"class_type": "PrimitiveInt", "inputs": {"value": 3}, "_meta": {"title": "a"}},
    "2": {"class_type": "Distill3D_SolidBackground", "inputs": {}},
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Whole files of the formats that are read from a folder."""
    from safetensors.torch import save_file

    from tiny_sd import write_folder, write_tokenizer

    folder = tmp_path_factory.mktemp("samples")
    weights = {"a.weight": torch.rand(4, 3), "a.bias": torch.rand(4)}
    save_state(folder / "state.safetensors", weights, {"step": 3, "names": ["a", "b"]})
    save_file(weights, folder / "a.safetensors")
    torch.save({"state_dict": weights, "epoch": 3}, folder / "a.ckpt")
    torch.save(weights, folder / "old.ckpt", _use_new_zipfile_serialization=False)
    write_embeddings(folder / "texts.safetensors", ["a", "b"], torch.rand(2, 3, 8))
    write_tokenizer(folder / "tokenizer")
    write_folder(folder / "sd1", "sd1")
    for name, data in obj_files(TEXTURED, "a").items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def trainer(samples):
    """The trainer of a very small network, whose state is in samples."""

    @dataclass(frozen=True)
    class Recipe:
        channels: int = 3
        seed: int = 0
        batch: int = 1
        objective: str = "velocity"
        lr: float = 0.01
        betas: tuple = (0.9, 0.99)
        weight_decay: float = 0.01

    class Small(Trainer):
        name = "Test"

        def networks(self):
            return {"net": torch.nn.Conv2d(3, 2, 1)}

        def undecayed(self):
            return [self.model["net"].bias]

    small = Small(Recipe())
    small.model["net"](torch.rand(1, 3, 4, 4)).sum().backward()
    small.optimizer.step()
    small.save(str(samples / "training.pt"))
    return small


def bounded(read):
    """Runs a reader. What it raises may only be a DistillError with a short message; time and memory are limited."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    try:
        read()
    except DistillError as error:
        assert 0 < len(str(error)) <= 2100
    assert time.perf_counter() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES


def hostile(tries):
    def wrap(test):
        limits = settings(
            max_examples=TRIES or tries,
            deadline=None,
            database=None,
            derandomize=not TRIES,
            suppress_health_check=list(HealthCheck),
        )
        return limits(given(seed=st.integers(0, 2**40))(test))

    return wrap


@pytest.fixture(scope="module", autouse=True)
def quiet(tmp_path_factory):
    set_host(Host(tmp_path_factory.mktemp("output"), device="cpu"))
    yield
    set_host(None)


@pytest.mark.parametrize("name", FILES)
@hostile(40)
def test_meshes(name, samples, seed):
    path = samples / f"damaged{name[name.index('.') :]}"
    path.write_bytes(damaged(FILES[name], seed))
    kind = "obj" if name.endswith("mtl") else path.suffix[1:]
    if name.endswith("mtl"):
        (samples / "b.obj").write_bytes(FILES["a.obj"].replace(b"a.mtl", path.name.encode()))
        path = samples / "b.obj"
    bounded(lambda: read_mesh(path, kind, "Test"))


@hostile(100)
def test_trees_of_gltf(seed):
    builder = rich_glb()
    tree = {**builder.tree, "buffers": [{"byteLength": len(builder.data)}]}
    bounded(lambda: read_mesh(glb_of(damaged_tree(tree, seed), builder.data), "glb", "Test"))


@pytest.mark.parametrize("picture", ["png", "deep png", "gif"])
@hostile(40)
def test_pictures(picture, seed):
    from io import BytesIO

    from PIL import Image

    pixels = np.arange(64, dtype=np.uint16 if picture == "deep png" else np.uint8).reshape(8, 8)
    data = png(pixels)
    if picture == "gif":
        file = BytesIO()
        Image.fromarray(pixels).save(file, "GIF", save_all=True, append_images=[Image.fromarray(pixels + 9)])
        data = file.getvalue()
    bounded(lambda: list(read_frames(damaged(data, seed), "x")))


@hostile(40)
def test_splats(seed):
    bounded(lambda: read_ply(damaged(splat_bytes(random_splat(6, 1)), seed), "Test"))


def read_checkpoint(path):
    source = CheckpointFile(path, "Test")
    return [source.tensor(key) for key in source]


@pytest.mark.parametrize(
    "name, read",
    [
        ("state.safetensors", read_state),
        ("a.safetensors", read_checkpoint),
        ("a.ckpt", read_checkpoint),
        ("old.ckpt", read_checkpoint),
        ("texts.safetensors", lambda path: read_embeddings(path, 8, "Test")),
    ],
)
@hostile(40)
def test_weights(name, read, samples, seed):
    path = samples / f"damaged_{name}"
    path.write_bytes(damaged((samples / name).read_bytes(), seed))
    bounded(lambda: read(path))


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json",
        "sd1/scheduler/scheduler_config.json",
        "sd1/vae/config.json",
    ],
)
@hostile(12)
def test_folders(name, samples, seed):
    from diffusers import AutoencoderKL

    path = samples / name
    whole = path.read_bytes()
    data = (
        damaged(whole, seed)
        if seed % 2 or path.suffix == ".txt"
        else json.dumps(damaged_tree(json.loads(whole), seed)).encode()
    )
    read = {
        "tokenizer": lambda: read_tokenizer(path.parent, "Test"),
        "scheduler": lambda: read_scheduler(path.parent, "Test"),
        "vae": lambda: load_network(AutoencoderKL, path.parent, "Test"),
    }[path.parent.name]
    path.write_bytes(data)
    try:
        bounded(read)
    finally:
        path.write_bytes(whole)


@hostile(40)
def test_training_states(samples, trainer, seed):
    path = samples / "damaged_state.pt"
    path.write_bytes(damaged((samples / "training.pt").read_bytes(), seed))
    bounded(lambda: trainer.load(str(path)))


def workflow(name):
    if name == "api":
        return API
    return json.loads(find_workflow(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["dreamgaussian", "dreamcraft3d", "api"])
@hostile(60)
def test_workflows(name, samples, seed):
    tree = workflow(name)
    path = samples / "workflow.json"
    for data in (json.dumps(damaged_tree(tree, seed)).encode(), damaged(json.dumps(tree).encode(), seed)):
        path.write_bytes(data)
        bounded(lambda: checked(read_graph(path, registry()), registry()))
