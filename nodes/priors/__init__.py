"""Diffusion models as priors. Each file has the recipe, the loaded prior and the node.

    builtin_prior       Built-in Prior
    model_prior         Prior from MODEL; model_condition, model_content: its conditions and inputs
    latent_prior        base of latent diffusion priors: `LatentPrior`
    stable_diffusion    Stable Diffusion Prior; deepfloyd_if: DeepFloyd IF Prior
    diffusers_prior     Diffusers Prior: SD3, FLUX.1, PixArt
    mvdream             MVDream Prior; imagedream: ImageDream Prior
    zero123             Zero123 Prior; reference_views: posed pictures as conditions
    normal_depth        Normal-Depth Prior; albedo_prior: Albedo Prior; richdreamer: what both share
    lora_prior          LoRA Prior; dreambooth_prior: DreamBooth Prior; repaint: its training pictures
    clip_tower          CLIP Tower
    view_prompt         View Prompt; save_text_embeddings: Save Text Embeddings
    sample_prior        Sample Prior and Langevin Sample
    estimate_elevation  Estimate Elevation
"""
