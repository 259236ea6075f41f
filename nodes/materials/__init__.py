"""Materials and backgrounds.

    albedo       Albedo: unlit colour
    lambertian   Lambertian: diffuse shading under a point light
    pbr          PBR: metallic-roughness under an environment map; studio: the default environment
    latent       Latent: features without activation, such as latents of a diffusion model
    solid_background, random_background, environment_background   backgrounds
    color        colour activations and widgets: `activate_color`, `parse_color`
"""
