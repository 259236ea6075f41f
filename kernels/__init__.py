"""Stateless functions on tensors: no parameters, files, models or ComfyUI. They import torch and the standard library
only.

Folders: distill (score distillation), encode (positional encodings), image (pictures), raster (triangles to pixels),
shade (physically based light), shapes (exact test shapes), splat (3D Gaussians), surface (meshes and lattices),
uv (texture space), volume (density along rays). Files for all of them:

    backend         which implementation of an operation runs: `pick`, `register`, `prefer`
    checks          argument shapes: `check_shape`, `ShapeError`
    counter_random  random numbers as a hash of counters: `key_words`, `uniform`, `normal`
    lens            pinhole and orthographic cameras: `Lens`, `rays`, `project`, `to_clip`
    quaternion      rotations: `rotation_matrices`, `multiply`
    ragged          rows of unequal length in bounded memory: `expand`
    upload          host to device without a stall: `upload`
    warp_runtime    running NVIDIA Warp kernels on torch tensors: `launch`, `in_parallel`
"""
