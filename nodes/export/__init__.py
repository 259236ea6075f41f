"""From a trained scene to meshes, splats, pictures and files.

    extract_mesh    Extract Mesh: `extract_mesh`
    remesh          Remesh: `remesh`
    unwrap_uv       Unwrap UV: `unwrap_uv`
    bake_texture    Bake Texture: `bake_texture`
    save_mesh       Save Mesh: `save_mesh`; load_mesh: Load Mesh, `load_mesh`
    scene_to_splat  Scene to Splat: `scene_to_splat`
    turntable       Turntable: `render_turntable`; render_view: Render View, `render_view`
    save_animation  Save Animation: `save_animation`
    surface_scene   triangles and appearance of a scene of the Mesh Rasterizer: `surface_mesh`, `appearance_at`
    render_mesh     unlit pictures of a mesh: `render_mesh`
    still           pictures of a scene for viewing: `still`
    killable        work in a process with a time limit: `run_killable`; mesh_worker.py is that process
"""
