"""Losses. Each file has the loss and its node.

    score                            base of SDS, SJC, VSD and BSD: noise, text conditions, guidance, `ScoreLoss`
    score_noise, score_options       its noise (fresh, kept, on the object), and the options of all of these losses
    sds, sjc, vsd, bsd               score distillation
    score_terms, prepared_terms      score distillation by a formula: the recipe and its node, and its steps
    clip, feature                    similarity to a text or a picture; tower_view: the input images of a tower
    reference                        base of the reference losses: `ReferenceMeasure`
    reference_rgb, _mask, _depth, _normal                      comparisons with posed pictures
    sparsity, transmittance, opacity_entropy, orientation, distortion   regularisers of volumes
    depth_variance, emptiness, total_variation, convexity      of volumes, pictures and surfaces
    eikonal, normal_smoothness                                 of signed distances and normals
    normal_consistency, laplacian                              of meshes
    weighted                         base of the other losses, a measure times a scheduled weight: `WeightedMeasure`
"""
