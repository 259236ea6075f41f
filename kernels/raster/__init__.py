"""From triangles to pixels, with gradients (the operations and layouts of nvdiffrast).

    triangle_ids             which face each pixel sees: `triangle_ids` (also _warp, _nvdiffrast)
    rasterize                barycentrics and depth from the ids: `rasterize`
    interpolate              vertex attributes at pixels: `interpolate`
    antialias                coverage at silhouettes, and their gradient: `EdgeFaces`, `antialias`
    footprint                size of a pixel in texture space: `uv_footprint`
    texture                  mip-mapped lookups: `mip_pyramid`, `sample_mip`
"""
