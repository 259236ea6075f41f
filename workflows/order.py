"""The names of the workflow files, as ComfyUI's template browser lists them: in order, by what one needs for them.

On the command line a workflow keeps the name of its description: `distill3d run dreamfusion`.
"""
TITLES = {
    "dreamfusion": "1 Start - text to 3D",
    "magic3d": "2 Built-in models - mesh in two stages (Magic3D)",
    "dreamgaussian": "2 Built-in models - Gaussians (DreamGaussian)",
    "multi_view": "2 Built-in models - four views at once (MVDream)",
    "normal_depth": "2 Built-in models - normals and depth (RichDreamer)",
    "variational": "2 Built-in models - variational (ProlificDreamer)",
    "dream_fields": "2 Built-in models - volume by CLIP (Dream Fields)",
    "clip_mesh": "2 Built-in models - mesh by CLIP (CLIP-Mesh)",
    "text2mesh": "2 Built-in models - style of a mesh (Text2Mesh)",
    "image_to_3d": "3 Picture - one object to 3D",
    "dreamcraft3d": "3 Picture - to 3D in four stages (DreamCraft3D)",
    "dreamfusion_sd": "4 One checkpoint - Stable Diffusion (DreamFusion)",
    "magic3d_sd": "4 One checkpoint - Stable Diffusion (Magic3D)",
    "shared_model": "4 One checkpoint - picture and 3D of one model",
    "dreamfusion_if": "4 One checkpoint - DeepFloyd IF (DreamFusion)",
    "mvdream": "4 One checkpoint - MVDream",
    "zero123": "5 Picture and checkpoint - Zero123-XL",
    "image_to_3d_stable_zero123": "5 Picture and checkpoint - Stable-Zero123",
    "image_graph_to_3d": "6 Several models - text to picture to 3D",
    "prolificdreamer": "6 Several models - ProlificDreamer",
    "dreamcraft3d_full": "6 Several models - DreamCraft3D",
    "sample_prior": "7 Look inside - samples of the prior",
    "score_matching": "7 Look inside - score matching",
    "score_terms": "7 Look inside - terms of the score (ablation)",
    "train_builtin_prior": "8 Train - the built-in prior",
    "train_builtin_clip": "8 Train - the built-in CLIP",
    "train_mvdream_prior": "8 Train - a prior of four views",
    "train_normal_depth_prior": "8 Train - a prior of normals and depth",
    "train_zero123_prior": "8 Train - a prior conditioned on a picture",
}
_NAMES = {title: name for name, title in TITLES.items()}


def title_of(name: str) -> str:
    """The name of a workflow's file without its suffix; a workflow that is not listed has its own."""
    return TITLES.get(name, name)


def name_of(title: str) -> str:
    """The name of a workflow on the command line."""
    return _NAMES.get(title, title)
