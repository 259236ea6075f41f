"""Runs in a process of its own: what may take for ever must be killable.

    python unwrap_worker.py decimate|unwrap folder

Reads input.npz in the folder and writes output.npz there. Imports nothing of the pack, so that it starts quickly and
needs neither torch nor a guarded main module.
"""
import json
import os
import sys


def decimate(data, options):
    """Quadric edge collapse (Garland and Heckbert 1997) down to options["faces"] triangles."""
    import numpy
    import pymeshlab

    colors = numpy.concatenate([data["colors"], numpy.ones((len(data["colors"]), 1))], 1).astype(numpy.float64)
    meshes = pymeshlab.MeshSet(verbose=False)
    meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=data["vertices"].astype(numpy.float64),
                                   face_matrix=data["faces"].astype(numpy.int32), v_color_matrix=colors))
    meshes.meshing_decimation_quadric_edge_collapse(targetfacenum=options["faces"], qualitythr=0.5,
                                                    preserveboundary=True, preservenormal=True, preservetopology=True)
    mesh = meshes.current_mesh()
    return {"vertices": mesh.vertex_matrix().astype(numpy.float32), "faces": mesh.face_matrix().astype(numpy.int64),
            "colors": mesh.vertex_color_matrix()[:, :3].astype(numpy.float32)}


def unwrap(data, options):
    """A UV atlas by xatlas: uv [V',2], faces into it, source [V'] into the vertices."""
    import numpy
    import xatlas

    atlas = xatlas.Atlas()
    atlas.add_mesh(data["vertices"].astype(numpy.float32), data["faces"].astype(numpy.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = options["size"], options["padding"]
    atlas.generate(xatlas.ChartOptions(), packing)
    source, faces, uv = atlas[0]
    return {"source": source.astype(numpy.int64), "faces": faces.astype(numpy.int64), "uv": uv.astype(numpy.float32)}


def main(task, folder):
    import numpy

    with numpy.load(os.path.join(folder, "input.npz")) as file:
        data = dict(file)
    options = json.loads(str(data.pop("options")))
    result = {"decimate": decimate, "unwrap": unwrap}[task](data, options)
    # The result appears whole or not at all.
    numpy.savez(os.path.join(folder, "writing.npz"), **result)
    os.replace(os.path.join(folder, "writing.npz"), os.path.join(folder, "output.npz"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
