"""Physically based shading under an environment map.

    environment  light of an equirectangular panorama: `Environment`, `prepare_environment`, `diffuse_light`,
                 `reflected_light`
    split_sum    metallic-roughness shading (Karis 2013): `shade_split_sum`, `brdf_table`
"""
