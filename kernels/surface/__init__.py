"""Triangle meshes, and lattices that hold them.

    isosurface     level set of a grid as a watertight mesh: `isosurface`
    marching_tets  level set of a tetrahedral lattice: `marching_tets`, `surface_distance`
    tet_grid       the A15 lattice: `tet_grid`
    subdivide      red-green refinement of tetrahedra: `subdivide`, `surface_tets`
    shell          filling cavities, dropping inner walls: `fill_interior`, `solid`, `outer_shell`
    distance_grid  signed distance to a mesh on a grid: `distance_grid`
    closest        nearest point of a mesh: `closest_points`
    components     connected components: `connected`, `keep_largest`
    mesh           normals, areas, edges, closedness, volume: `vertex_normals`, `unique_edges`, `is_watertight`
    neighbors      distances within a point cloud: `neighbor_distance`
    regularize     mesh losses: `normal_consistency`, `laplacian`
    smooth         `taubin_smooth`
    spread         evenly spread points on a mesh: `spread_points`
"""
