"""From a scene to a surface: densities on a grid, silhouettes, colours of surface points."""
