"""From a scene to a surface: a shelf that several rooms use.

    density_grid  density or signed distance on a grid, and the threshold of the surface: `sample_inside`,
                  `choose_threshold`
    silhouette    views of a scene and the threshold whose silhouettes match: `scene_views`, `best_threshold`
    color         colours of surface points: `surface_color`
"""
