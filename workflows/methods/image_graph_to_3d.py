"""A picture made here, to 3D and back."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node, stage

GROUP_1 = "1  A picture from a text"
GROUP_2 = "2  Its background removed"
GROUP_3 = "3  Scene: what is optimised"
GROUP_4 = "4  Sides that are not seen"
GROUP_5 = "5  The side that is seen, and the loop"
GROUP_6 = "6  Export"
GROUP_7 = "7  Back to a picture: before and after"

METHOD = Method(
    nodes={
        "reference_view": node("ReferenceView", within=GROUP_2, image=Wire("vae_decode"), mask_marks="object",
                 mask=Wire("remove_background")),
        "hash_grid_volume": node("HashGridVolume", within=GROUP_3, radius=1.0, active_levels=16.0),
        "albedo": node("Albedo", within=GROUP_3),
        "solid_background": node("SolidBackground", within=GROUP_3),
        "volume_renderer": node("VolumeRenderer", within=GROUP_3, field=Wire("hash_grid_volume"),
                 material=Wire("albedo"), background=Wire("solid_background"), samples=512),
        "zero123_prior": node("Zero123Prior", within=GROUP_4, model="stable_zero123.ckpt",
                 image=Wire("reference_view", "image"), kind="Stable-Zero123",
                 mask=Wire("reference_view", "mask")),
        "view_prompt": node("ViewPrompt", within=GROUP_4, text="an object", views="none"),
        "smallest_timestep": node("Schedule", titled="Smallest timestep", within=GROUP_4,
                 keyframes="50: 0.7, 200: 0.3", unit="steps"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_4,
                 keyframes="50: 0.98, 200: 0.8", unit="steps"),
        "sds_loss": node("SDSLoss", within=GROUP_4, prior=Wire("zero123_prior"), prompt=Wire("view_prompt"),
                 guidance=3.0, t_min=Wire("smallest_timestep"), t_max=Wire("largest_timestep"),
                 weight=0.1),
        "orientation_loss": node("OrientationLoss", within=GROUP_4, weight=1.0, losses=Wire("sds_loss")),
        "sparsity_loss": node("SparsityLoss", within=GROUP_4, weight=0.5, losses=Wire("orientation_loss")),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_4, weight=0.5, losses=Wire("sparsity_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_4, min_distance=3.8, max_distance=3.8,
                 min_fovy=20.0, max_fovy=20.0, max_elevation=80.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0, start_elevation=5.0, min_elevation=-10.0),
        "views_per_step": node("Schedule", titled="Views per step", within=GROUP_4,
                 keyframes="0: 12, 200: 8, 300: 4", unit="steps", shape="step"),
        "pixels_of_a_view": node("Schedule", titled="Pixels of a view", within=GROUP_4,
                 keyframes="0: 64, 200: 128, 300: 256", unit="steps", shape="step"),
        "objective_sides_that_are_not_seen": node("Objective", titled="Objective: sides that are not seen", within=GROUP_4,
                 views=Wire("random_orbit_views"), losses=Wire("normal_smoothness_loss_2"),
                 batch=Wire("views_per_step"), resolution=Wire("pixels_of_a_view")),
        "colour_weight": node("Schedule", titled="Colour weight", within=GROUP_5, keyframes="100: 500, 400: 1000",
                 unit="steps"),
        "reference_rgb_loss": node("ReferenceRGBLoss", within=GROUP_5, reference=Wire("reference_view", "reference"),
                 weight=Wire("colour_weight")),
        "reference_mask_loss": node("ReferenceMaskLoss", within=GROUP_5, reference=Wire("reference_view", "reference"),
                 weight=50.0, losses=Wire("reference_rgb_loss")),
        "pixels_of_the_picture_s_view": node("Schedule", titled="Pixels of the picture's view", within=GROUP_5,
                 keyframes="0: 128, 200: 256, 300: 512", unit="steps", shape="step"),
        "objective_the_picture": node("Objective", titled="Objective: the picture", within=GROUP_5,
                 views=Wire("reference_view"), losses=Wire("normal_smoothness_loss_4"), batch=1.0,
                 resolution=Wire("pixels_of_the_picture_s_view"),
                 objectives=Wire("objective_sides_that_are_not_seen")),
        "optimizer_settings": node("OptimizerSettings", within=GROUP_5),
        "optimize": node("Optimize", within=GROUP_5, scene=Wire("volume_renderer"),
                 objective=Wire("objective_the_picture"), steps=600,
                 optimizer=Wire("optimizer_settings")),
        "smoothness_weight": node("Schedule", titled="Smoothness weight", within=GROUP_4,
                 keyframes="100: 7, 150: 5, 200: 10", unit="steps"),
        "normal_smoothness_loss": node("NormalSmoothnessLoss", within=GROUP_4, weight=Wire("smoothness_weight"),
                 losses=Wire("opacity_entropy_loss")),
        "normal_smoothness_loss_2": node("NormalSmoothnessLoss", within=GROUP_4, kind="space",
                 weight=Wire("smoothness_weight"), losses=Wire("normal_smoothness_loss")),
        "normal_smoothness_loss_3": node("NormalSmoothnessLoss", within=GROUP_5, weight=Wire("smoothness_weight"),
                 losses=Wire("reference_mask_loss")),
        "normal_smoothness_loss_4": node("NormalSmoothnessLoss", within=GROUP_5, kind="space",
                 weight=Wire("smoothness_weight"), losses=Wire("normal_smoothness_loss_3")),
        "checkpoint_loader_simple": node(":CheckpointLoaderSimple", within=GROUP_1,
                 ckpt_name="v1-5-pruned-emaonly-fp16.safetensors"),
        "clip_text_encode_the_picture": node(":CLIPTextEncode", titled="CLIP Text Encode: the picture", within=GROUP_1,
                 text="a toy fire engine, one whole object, centred, plain light grey background, studio photo, seen slightly from above",
                 clip=Wire("checkpoint_loader_simple", "CLIP")),
        "clip_text_encode_what_it_must_not_have": node(":CLIPTextEncode", titled="CLIP Text Encode: what it must not have", within=GROUP_1,
                 text="cropped, several objects, text, busy background",
                 clip=Wire("checkpoint_loader_simple", "CLIP")),
        "empty_latent_image": node(":EmptyLatentImage", within=GROUP_1),
        "k_sampler": node(":KSampler", within=GROUP_1, model=Wire("checkpoint_loader_simple"), steps=25,
                 cfg=7.5, sampler_name="euler", scheduler="normal",
                 positive=Wire("clip_text_encode_the_picture"),
                 negative=Wire("clip_text_encode_what_it_must_not_have"),
                 latent_image=Wire("empty_latent_image")),
        "vae_decode": node(":VAEDecode", within=GROUP_1, samples=Wire("k_sampler"),
                 vae=Wire("checkpoint_loader_simple", "VAE")),
        "the_picture": node(":SaveImage", titled="The picture", within=GROUP_7, images=Wire("vae_decode"),
                 filename_prefix="distill3d/image_graph_to_3d_picture"),
        "load_background_removal_model": node(":LoadBackgroundRemovalModel", within=GROUP_2,
                 bg_removal_name="birefnet.safetensors"),
        "remove_background": node(":RemoveBackground", within=GROUP_2,
                 bg_removal_model=Wire("load_background_removal_model"), image=Wire("vae_decode")),
        "image_from_batch": node(":ImageFromBatch", within=GROUP_7, image=Wire("turntable"), batch_index=15),
        "vae_encode": node(":VAEEncode", within=GROUP_7, pixels=Wire("image_from_batch"),
                 vae=Wire("checkpoint_loader_simple", "VAE")),
        "k_sampler_image_to_image": node(":KSampler", titled="KSampler: image to image", within=GROUP_7,
                 model=Wire("checkpoint_loader_simple"), steps=25, cfg=7.5, sampler_name="euler",
                 scheduler="normal", positive=Wire("clip_text_encode_the_picture"),
                 negative=Wire("clip_text_encode_what_it_must_not_have"),
                 latent_image=Wire("vae_encode"), denoise=0.5),
        "vae_decode_2": node(":VAEDecode", within=GROUP_7, samples=Wire("k_sampler_image_to_image"),
                 vae=Wire("checkpoint_loader_simple", "VAE")),
        "the_frame_painted_anew": node(":SaveImage", titled="The frame, painted anew", within=GROUP_7,
                 images=Wire("vae_decode_2"), filename_prefix="distill3d/image_graph_to_3d_back"),
        **export("optimize", "image_graph_to_3d", resolution=256, group=GROUP_6,
                 frames=120, size=512, elevation=5.0, distance=3.8, fovy=20.0),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5, GROUP_6, GROUP_7),
    stages=(
        stage("Paint a picture", "vae_decode", about="A picture of a text by a checkpoint.",
              keeps=("clip_text_encode_the_picture", "clip_text_encode_what_it_must_not_have", "empty_latent_image",
                     "k_sampler"),
              shows={"text": "clip_text_encode_the_picture.text",
                     "not in the picture": "clip_text_encode_what_it_must_not_have.text", "seed": "k_sampler.seed"}),
        stage("The picture", "reference_view", "zero123_prior",
              keeps=("remove_background", "load_background_removal_model"),
              shows={"elevation": "reference_view.elevation", "elevation of the prior": "zero123_prior.elevation",
                     "distance": "reference_view.distance", "field of view": "reference_view.fovy", "model": "zero123_prior.model"},
              about="A picture as a reference view, and a prior that is conditioned on it."),
        trained("Picture to 3D stage", "optimize", "The seen side fits the picture, the others are distilled from the prior.",
                keeps=("view_prompt",), guidance="sds_loss.guidance"),
        bake_and_save(),
        stage("Paint a frame anew", "vae_decode_2", about="A picture, image to image.",
              keeps=("image_from_batch", "vae_encode", "k_sampler_image_to_image"),
              shows={"frame": "image_from_batch.batch_index", "seed": "k_sampler_image_to_image.seed",
                     "denoise": "k_sampler_image_to_image.denoise"}),
    ),
    notes=(
        """\
## A picture made here, to 3D and back
Text to an image, to 3D and back to an image, in one graph. A checkpoint generates a picture, its background is removed, Stable-Zero123 makes a textured GLB of the object, and a frame of the turntable goes through the checkpoint again, image to image. The GLB opens in the viewer.

Change the text in **Paint a picture** and press Run. Describe one whole object before a plain background, level or seen slightly from above, and set its elevation twice in **The picture**, for the view and for the prior. To keep a picture while you change the rest, fix the seed of **Paint a picture**.

The 3D part is *image_to_3d_stable_zero123*, with threestudio's numbers. **Paint a frame anew** has `denoise` 0.5; a smaller value stays closer to the object.""",
        """\
## Files
`v1-5-pruned-emaonly-fp16.safetensors` (2.1 GB) goes into `models/checkpoints` and `birefnet.safetensors` into `models/background_removal`. The editor offers to download both, from [Comfy-Org/stable-diffusion-v1-5-archive](https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive) and [Comfy-Org/BiRefNet](https://huggingface.co/Comfy-Org/BiRefNet).

`stable_zero123.ckpt` (8.6 GB) of [stabilityai/stable-zero123](https://huggingface.co/stabilityai/stable-zero123) goes into `models/checkpoints`; see its licence. Without it, choose *built-in* as its model, a model of simple shapes in plain colours; *image_to_3d* has the numbers for it.

Background removal needs ComfyUI 0.22 or newer, and runs in ComfyUI only.""",
        """\
## Memory and time
Not measured with this pack and full-size models. The three models are not needed at the same time, and ComfyUI unloads unused ones. In the 3D part, most memory is needed by the views with 256 pixels and by the view of the picture with 512. To use less, lower the last numbers of the two pixel schedules.""",
    ))
