"""Meshes and splats: a shelf for their values, core's wires and their files.

    mesh         `Mesh`, the value inside; core_mesh, mesh_wire: core's MESH
    splat        frames and colours of 3D Gaussians; core_splat, splat_wire: core's SPLAT; splat_file: PLY
    core_camera  core's LOAD3D_CAMERA: `camera_from_core`
    notes        the workflow in the metadata of a file: `with_notes`

    Writing mesh files: mesh_file (all formats), glb_writer (GLB).

    Reading mesh files: mesh_reader (all formats). gltf_reader and gltf_file (GLB, glTF), obj_reader, stl_reader,
    ply_reader and ply_table read one format each into parts (mesh_part); polygon triangulates; mesh_join makes one mesh
    of the parts, with texture_atlas for their textures; picture_file reads pictures.
"""
