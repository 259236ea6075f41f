"""Texture space.

    bake       texels to surface points, padding, lookups: `texel_positions`, `covered_texels`, `dilate`,
               `sample_texture`
    box_atlas  charts by box projection, in linear time: `box_atlas`
    tangent    glTF's tangent space: `vertex_tangents`, `to_tangent_space`
"""
