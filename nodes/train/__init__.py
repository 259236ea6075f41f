"""Training small diffusion models on exact shapes: the built-in priors, anew or for other data.

    shape_dataset       Shape Dataset: captioned pictures, `ShapeDataset`
    shape_views         Shape Views: several pictures of each shape, `ShapeViews`
    dataset_preview     Dataset Preview
    trainer             base of all trainers, with networks, their average, optimiser and files: `Trainer`
    denoising_trainer   base of the trainers of diffusion models: `PriorRecipe`, `DenoisingTrainer`
    prior_trainer       text to image: `PriorTrainer`; train_prior: Train Prior
    zero123_trainer     view from a picture: `Zero123Trainer`; train_zero123: Train Zero123 Prior
    multi_view_trainer  four views: `MultiViewTrainer`, `NormalDepthTrainer`; train_multi_view: their two nodes
    clip_trainer        CLIP: `ClipTrainer`, `contrastive_loss`; train_clip: Train CLIP
    clip_network        a small CLIP: `build_clip`; clip_sheet: what it has learned, `similarity_sheet`
    near_caption        false captions: `near_caption`; disturb: disturbed pictures, `disturb`
    score_model         score matching in the plane: `train_score_model`; score_panel: its pictures;
                        train_score_model: Train Score Model
    training_run        the loop, its folder and its widgets: `run_training`, `train_below_output`
    caption_reading     pretraining of the text encoder: `learn_to_read`
    if_layout           DeepFloyd IF's layout: `build_unet`, `save_if_folder`
    latents             autoencoder and sampler of latent models: `train_autoencoder`, `sample`
    clip_vocabulary     a CLIP tokenizer of few words: `write_tokenizer`
    sample_sheet        samples during training: `sample_prior`, `contact_sheet`
"""
