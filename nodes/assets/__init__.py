"""Meshes and splats: the values inside, the host's wires, and files."""
