"""The formulas of score distillation, on tensors of clean images z, denoiser outputs z0 and noise levels sigma.

    dreamtime       timesteps that fall by their importance: `falling_timestep`
    formula         sums of predictions as text: `parse`, `values`
    guidance        combining conditional predictions: `guide`, `rescale`, `threshold`, `perp_negative`; `limit`
    inversion       DDIM in both directions: `ddim_step`, `invert`
    prediction      noise, velocity, flow and x0 to clean images: `clean_image`, `error_scale`
    sampling        sampler steps: `ancestral_step`, `langevin_step`, `implied_noise`
    score_matching  training objectives of scores: `denoising_score_matching` and others
    sds             `sds_gradient`, and `surrogate`, the scalar with a given gradient
    similarity      of embeddings: `embedding_distance`, `rank_of_own`
    sjc             `sjc_gradient`
    surface_noise   noise that lies on a surface: `surface_noise`
    terms           SDS, CSD, NFSD, DDS, ASD, ISM, SDI, RFDS as rows of one table: `METHODS`, `score_gradient`
    vsd             `vsd_gradient`, `denoising_error`
    weighting       w(t): `weight`
"""
