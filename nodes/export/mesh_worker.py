"""Mesh operations that may take very long, run in a separate process that can be killed.

    python mesh_worker.py decimate|remesh|unwrap folder

Reads input.npz in the folder and writes output.npz there. Imports nothing of the pack, so that it starts quickly and
needs neither torch nor a guarded main module.
"""
import json
import os
import sys


def decimate(data, options):
    """Quadric edge collapse (Garland and Heckbert 1997) down to options["faces"] triangles."""
    meshes = manifold(data)
    meshes.meshing_decimation_quadric_edge_collapse(targetfacenum=options["faces"], qualitythr=0.5,
                                                    preserveboundary=True, preservenormal=True, preservetopology=True)
    return arrays(meshes, data)


def remesh(data, options):
    """Triangles of uniform size with edges of length options["edge"] (Hoppe et al. 1993; Botsch and Kobbelt 2004)."""
    import pymeshlab

    meshes = manifold(data)
    length = pymeshlab.PureValue(options["edge"])
    # Steps may leave the surface by up to one edge; otherwise no coarse mesh would be possible.
    meshes.meshing_isotropic_explicit_remeshing(iterations=10, targetlen=length, maxsurfdist=length)
    return arrays(meshes, data)


def manifold(data):
    """pymeshlab's meshes: the first is the input, the second is processed. In it no face occurs twice, and vertices are
    split where more than two faces share an edge or two sheets touch."""
    import numpy
    import pymeshlab

    meshes = pymeshlab.MeshSet(verbose=False)
    colors = {}
    if "colors" in data:
        opaque = numpy.ones((len(data["colors"]), 1))
        colors = {"v_color_matrix": numpy.concatenate([data["colors"], opaque], 1).astype(numpy.float64)}
    for _ in range(2):
        meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=data["vertices"].astype(numpy.float64),
                                       face_matrix=data["faces"].astype(numpy.int32), **colors))
    meshes.meshing_remove_duplicate_faces()
    meshes.meshing_repair_non_manifold_edges(method="Split Vertices")
    meshes.meshing_repair_non_manifold_vertices()
    return meshes


def arrays(meshes, data):
    """The processed mesh, with the colours of the input at the nearest points."""
    import numpy
    import pymeshlab

    mesh = meshes.current_mesh()
    found = {"vertices": mesh.vertex_matrix().astype(numpy.float32), "faces": mesh.face_matrix().astype(numpy.int64)}
    if "colors" in data:
        meshes.transfer_attributes_per_vertex(sourcemesh=0, targetmesh=1, upperbound=pymeshlab.PercentageValue(100))
        found["colors"] = meshes.mesh(1).vertex_color_matrix()[:, :3].astype(numpy.float32)
    return found


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
    result = {"decimate": decimate, "remesh": remesh, "unwrap": unwrap}[task](data, options)
    # The result appears whole or not at all.
    numpy.savez(os.path.join(folder, "writing.npz"), **result)
    os.replace(os.path.join(folder, "writing.npz"), os.path.join(folder, "output.npz"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
