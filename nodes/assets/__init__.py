"""Meshes and splats: a shelf for what nodes pass on and what files hold.

    mesh         `Mesh`, the value inside; core_mesh, mesh_wire: core's MESH; mesh_file, mesh_reader: GLB, OBJ, PLY, STL
    splat        frames and colours of 3D Gaussians; core_splat, splat_wire: core's SPLAT; splat_file: PLY
    core_camera  core's LOAD3D_CAMERA: `camera_from_core`
    notes        the workflow that a file carries: `with_notes`
"""
