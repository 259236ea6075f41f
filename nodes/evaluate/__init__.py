"""Measuring results of the built-in priors against the exact shapes of their captions.

    score_views       Score Views: `score_scene`
    compare_geometry  Compare Geometry: `compare_mesh`
    measure           IoU, PSNR, errors of colours and normals: `score`
    chamfer           distance of surfaces: `chamfer_distance`, `sample_mesh`
    precision         which prompt is nearest to a result: `prompt_precision`
    clip_precision    which caption CLIP finds nearest: `clip_ranking`; clip_r_precision: CLIP R-Precision
    noses             number of noses, for the Janus problem: `count_noses`
    truth             pictures and surface points of the exact shape: `true_rendering`, `true_surface`
    views             the 16 standard cameras: `standard_views`, `take_pictures`
    prompts           lists of prompts (prompts*.txt): `read_prompts`
    table             one row per prompt: `Row`, `summarize`, `markdown`
    sheet             pictures of truth and result: `comparison`, `contact_sheet`
"""
