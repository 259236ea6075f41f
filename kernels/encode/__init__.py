"""Positional encodings: coordinates or directions to features.

    corner               weighted sums over the corners of a cell, differentiable to any order: `gather`, `dot`,
                         `scatter`
    frequency            sines and cosines (NeRF): `encode_frequency`
    gaussian             Fourier features of random frequencies: `encode_gaussian`
    hash_grid            multiresolution hash encoding (Instant-NGP): `HashGrid`, `encode_hash_grid`
    hash_grid_warp       the same as Warp kernels
    integrated           expected encoding of a volume (mip-NeRF): `encode_integrated`, `frustum_gaussian`
    spherical_harmonics  of directions: `encode_spherical_harmonics`
"""
