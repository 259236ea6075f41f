"""Density and signed distance along rays. Samples are packed: those of ray 0, then those of ray 1, and so on.

    box               the scene's box: `box_bounds`, `intersect_box`
    march             samples along rays: `march_rays`, `RaySamples` (also march_warp)
    occupancy         grid of occupied cells (Instant-NGP): `OccupancyGrid`, `update_occupancy`
    composite         weights and sums along rays: `composite`, `accumulate`, `distortion` (also composite_warp)
    segment           sums over the samples of each ray: `Segments`, `segment_sum`, `exclusive_sum`
    neus              opacity from a signed distance: `neus_alpha`, `incidence`
    normals           of a density or distance: `analytic_normals`, `finite_difference_normals`
    gaussian_density  density of a cloud of Gaussians: `gaussian_density`
    regularize        losses of volumes: `sparsity`, `transmittance`, `opacity_entropy`, `orientation`, `eikonal`
"""
