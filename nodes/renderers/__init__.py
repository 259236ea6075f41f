"""Renderers: each node combines a field, a material and a background into a scene.

    volume_renderer  Volume Renderer; volume_scene: march, evaluate, shade, composite
    neus_renderer    NeuS Renderer; neus_scene: weights from a signed distance
    mesh_rasterizer  Mesh Rasterizer; mesh_scene: rasterize, interpolate, shade, antialias
    splat_renderer   Splat Renderer; splat_scene: 3D Gaussians by tiles
    field_scene      base of all scenes: `FieldScene`
    shading          the shading mode of a rendering, lights and cameras: `shading_mode`
    kernel_backend   Kernel Backend
    particles        Particles: `ParticleScene`; pick_particle: Pick Particle
"""
