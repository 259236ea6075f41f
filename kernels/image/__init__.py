"""Pictures: sizes, colours, differences.

    augment      random crops and backgrounds: `random_crops`, `backdrop`
    clip_pixels  input of image encoders: `clip_pixels`, `tower_pixels`
    color        sRGB and linear light: `srgb_to_linear`, `linear_to_srgb`
    compare      `psnr`
    geometry     normals in camera axes and nearness as pictures: `view_normals`, `nearness`
    reference    errors of renderings against a reference view: `color_error`, `mask_error`, depth and normal errors,
                 `erode`
    resize       `resize`, `resize_square`
    smoothness   total variation, and convexity of a surface: `total_variation`, `concavity`
    variation    total variation, squared: `squared_variation`
"""
