"""Losses. Each file has the loss and its node.

    score                            what SDS, SJC, VSD and BSD share: noise, texts, guided denoising, `ScoreLoss`
    sds, sjc, vsd, bsd               score distillation
    clip, feature                    similarity to a text or a picture; tower_view: what a tower is shown
    reference                        what the reference losses share: `ReferenceMeasure`
    reference_rgb, _mask, _depth, _normal                      comparisons with posed pictures
    sparsity, transmittance, opacity_entropy, orientation, distortion   regularisers of volumes
    eikonal, normal_smoothness                                 of signed distances and normals
    normal_consistency, laplacian                              of meshes
    weighted                         a measure times a scheduled weight: `WeightedMeasure`
"""
