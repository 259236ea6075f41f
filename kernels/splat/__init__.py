"""3D Gaussians to pictures (Kerbl et al. 2023).

    splat         drawing by tiles: `splat`, `Splatted`
    project       Gaussians to ellipses: `project`, `Ellipses`
    tiles         which Gaussians touch which tile, nearest first: `tiles_of`, `Tiles`
    splat_warp, project_warp, splat_gsplat  the same by faster backends
"""
