"""Networks: a shelf that reads published models and adapts them.

    denoiser         one denoiser for every kind of prediction: `Denoiser`
    noise            noise levels by timestep: `DiscreteNoise`, `FlowNoise`
    checkpoint_file  one model in one file, read as weights only: `CheckpointFile`
    model_files      folders, devices and dtypes: `locate`, `choices`
    pipeline_folder  parts of a diffusers folder: `load_network`, `read_scheduler`
    if_folder        the same for DeepFloyd IF; folder_writer writes folders: `fresh_folder`
    family           text-to-image transformers: `Family`; family_sd3, family_flux, family_pixart: the families
    published        names, files and sources of the published models: `find_model`
    builtin          folders of the weights in weights/
    ldm_layout       LDM's layout: `read_unet`, `read_vae`; ldm_names: its names
    multiview_unet   MVDream's network; multi_view: attention across views, `camera_vectors`
    image_resampler  ImageDream's additions: `ImageResampler`
    clip_text        CLIP text encoders: `ClipText`; clip_vision: CLIP image encoders
    clip_tower       CLIP with both towers, and DINO: `load_tower`; weights_digest: what tells weights apart
    t5_text          T5, unloaded after use: `T5Text`; text_embeddings: embeddings in a file
    adapter          LoRA and full copies: `Adapter`, `LowRank`; tuning trains them: `Tuner`; lora_file reads LoRA files
    model_file       MODEL, CLIP and VAE without ComfyUI: `ModelFile`
    reading, silence  contexts for reading networks without console output
"""
