"""Fields: the parameters of a scene as functions of the position in space or on a surface.

    hash_grid_volume   Hash Grid Volume; voxel_volume, triplane_volume, mlp_volume: the other volumes
    hash_grid_sdf      Hash Grid SDF: a signed distance for NeuS
    tet_grid           Tet Grid (DMTet); tet_shape: its distances and deformations
    trainable_mesh     Trainable Mesh; mesh_style: Mesh Style
    gaussians          Gaussians; splat_start: initial Gaussians; densification: cloning, splitting, pruning
    scene_to_sdf       Scene to SDF; scene_to_tet_grid: Scene to Tet Grid; inherit_color: colours for both
    encoded_volume     an encoding with heads for density and features: `EncodedVolume`
    feature_grid       a hash encoding with one network: `FeatureGrid`
    initial            density activation and initial blob; initial_surface: initial signed distance
"""
