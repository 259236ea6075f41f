"""ProlificDreamer, with Stable Diffusion 2.1."""
from ..block import bake_and_save, export, trained
from ..description import Method, Wire, node, stage

GROUP_1 = "The models, the text, where to look"
GROUP_2 = "1  A volume"
GROUP_3 = "2  The shape of a mesh: normal maps"
GROUP_4 = "3  Its texture"
GROUP_5 = "4  Export"

METHOD = Method(
    nodes={
        "hash_grid_volume": node("HashGridVolume", within=GROUP_2, radius=1.0),
        "albedo": node("Albedo", within=GROUP_2),
        "background_of_the_volume": node("EnvironmentBackground", titled="Background of the volume", within=GROUP_2,
                 random_share=0.5),
        "volume_renderer": node("VolumeRenderer", within=GROUP_2, field=Wire("hash_grid_volume"),
                 material=Wire("albedo"), background=Wire("background_of_the_volume"), samples=512),
        "stable_diffusion_2_1_base": node("StableDiffusionPrior", titled="Stable Diffusion 2.1 base", within=GROUP_1,
                 model="v2-1_512-ema-pruned.safetensors", prediction="epsilon", resolution=512),
        "stable_diffusion_2_1": node("StableDiffusionPrior", titled="Stable Diffusion 2.1", within=GROUP_1,
                 model="v2-1_768-ema-pruned.safetensors", prediction="v_prediction", resolution=512),
        "lo_ra_prior": node("LoRAPrior", within=GROUP_1, prior=Wire("stable_diffusion_2_1")),
        "view_prompt": node("ViewPrompt", within=GROUP_1, text="a pineapple", views="front/side/back/overhead"),
        "largest_timestep": node("Schedule", titled="Largest timestep", within=GROUP_1,
                 keyframes="5000: 0.98, 5001: 0.5", unit="steps"),
        "vsd_of_the_volume": node("VSDLoss", titled="VSD of the volume", within=GROUP_2,
                 prior=Wire("stable_diffusion_2_1_base"), lora=Wire("lo_ra_prior"),
                 prompt=Wire("view_prompt"), t_max=Wire("largest_timestep"), epsilon=1e-15),
        "sparsity_loss": node("SparsityLoss", within=GROUP_2, weight=10.0, losses=Wire("vsd_of_the_volume")),
        "entropy_weight": node("Schedule", titled="Entropy weight", within=GROUP_2,
                 keyframes="10000: 0, 10001: 1000", unit="steps"),
        "opacity_entropy_loss": node("OpacityEntropyLoss", within=GROUP_2, weight=Wire("entropy_weight"),
                 losses=Wire("sparsity_loss")),
        "random_orbit_views": node("RandomOrbitViews", within=GROUP_1, max_elevation=45.0, position_jitter=0.0,
                 target_jitter=0.0, up_jitter=0.0, min_distance=1.0, max_distance=1.5, max_fovy=70.0,
                                   min_elevation=-10.0),
        "pixels_of_a_view": node("Schedule", titled="Pixels of a view", within=GROUP_2, keyframes="0: 64, 5000: 512",
                 unit="steps", shape="step"),
        "objective_of_the_volume": node("Objective", titled="Objective of the volume", within=GROUP_2,
                 views=Wire("random_orbit_views"), losses=Wire("opacity_entropy_loss"), batch=1.0,
                 resolution=Wire("pixels_of_a_view")),
        "optimizer_of_the_volume": node("OptimizerSettings", titled="Optimizer of the volume", within=GROUP_2, kind="AdamW",
                 rates="network: 0.001, background: 0.001", weight_decay=0.01),
        "stage_1_a_volume": node("Optimize", titled="1 A volume", within=GROUP_2, scene=Wire("volume_renderer"),
                 objective=Wire("objective_of_the_volume"), steps=25000,
                 optimizer=Wire("optimizer_of_the_volume")),
        "scene_to_tet_grid": node("SceneToTetGrid", within=GROUP_3, scene=Wire("stage_1_a_volume")),
        "background_of_the_mesh": node("EnvironmentBackground", titled="Background of the mesh", within=GROUP_3),
        "mesh_rasterizer": node("MeshRasterizer", within=GROUP_3, field=Wire("scene_to_tet_grid"),
                 material=Wire("albedo"), background=Wire("background_of_the_mesh")),
        "sds_loss": node("SDSLoss", titled="SDS of the shape", within=GROUP_3,
                 prior=Wire("stable_diffusion_2_1_base"), prompt=Wire("view_prompt"), guidance=101.0,
                 t_max=Wire("largest_timestep"), image="unit normal over black"),
        "normal_consistency_loss": node("NormalConsistencyLoss", within=GROUP_3, losses=Wire("sds_loss")),
        "laplacian_loss": node("LaplacianLoss", within=GROUP_3, losses=Wire("normal_consistency_loss")),
        "objective_of_the_shape": node("Objective", titled="Objective of the shape", within=GROUP_3,
                 views=Wire("random_orbit_views"), losses=Wire("laplacian_loss"), batch=1.0,
                 resolution=512.0),
        "optimizer_of_the_shape": node("OptimizerSettings", titled="Optimizer of the shape", within=GROUP_3,
                 learning_rate=0.005),
        "stage_2_a_mesh_s_shape": node("Optimize", titled="2 A mesh's shape", within=GROUP_3,
                 scene=Wire("mesh_rasterizer"), objective=Wire("objective_of_the_shape"),
                 steps=15000, optimizer=Wire("optimizer_of_the_shape")),
        "vsd_of_the_texture": node("VSDLoss", titled="VSD of the texture", within=GROUP_4,
                 prior=Wire("stable_diffusion_2_1_base"), lora=Wire("lo_ra_prior"),
                 prompt=Wire("view_prompt"), t_max=Wire("largest_timestep"), epsilon=1e-15),
        "objective_of_the_texture": node("Objective", titled="Objective of the texture", within=GROUP_4,
                 views=Wire("random_orbit_views"), losses=Wire("vsd_of_the_texture"), batch=1.0,
                 resolution=512.0),
        "optimizer_of_the_texture": node("OptimizerSettings", titled="Optimizer of the texture", within=GROUP_4,
                 kind="AdamW",
                 rates="sdf: 0, deformation: 0, encoding: 0.01, network: 0.001, background: 0.001",
                 weight_decay=0.01),
        "stage_3_its_texture": node("Optimize", titled="3 Its texture", within=GROUP_4,
                 scene=Wire("stage_2_a_mesh_s_shape"), objective=Wire("objective_of_the_texture"),
                 steps=30000, optimizer=Wire("optimizer_of_the_texture")),
        **export("stage_3_its_texture", "prolificdreamer", resolution=256, group=GROUP_5,
                 frames=120, size=512, distance=1.5, fovy=70.0),
    },
    groups=(GROUP_1, GROUP_2, GROUP_3, GROUP_4, GROUP_5),
    stages=(
        stage("The models and the text", "stable_diffusion_2_1_base", "lo_ra_prior", "view_prompt",
              keeps=("stable_diffusion_2_1",), about="A prior, a second one that learns, and a text.",
              shows={"text": "view_prompt.text", "model": "stable_diffusion_2_1_base.model",
                     "model that learns": "stable_diffusion_2_1.model"}),
        trained("1 A volume", "stage_1_a_volume", "Variational score distillation of a prior into a volume.",
                guidance="vsd_of_the_volume.guidance"),
        trained("2 The shape of a mesh", "stage_2_a_mesh_s_shape", "A mesh of a trained scene, its shape from its normal maps.",
                guidance="sds_loss.guidance", resolution="objective_of_the_shape.resolution",
                grid="scene_to_tet_grid.resolution"),
        trained("3 Its texture", "stage_3_its_texture", "Variational score distillation of a prior into the texture of a mesh.",
                guidance="vsd_of_the_texture.guidance", resolution="objective_of_the_texture.resolution"),
        bake_and_save(),
    ),
    notes=(
        """\
## ProlificDreamer, with Stable Diffusion 2.1
Text to a sharp textured mesh by variational score distillation ([Wang et al. 2023](https://arxiv.org/abs/2305.16213)): the gradient is the difference between the scores of the prior and of a second model that is trained on the renderings.

Change the text in **View Prompt** and press Run. **LoRA Prior** adds low-rank weights to the attention of the second model, and **VSD Loss** trains them on the renderings at every step. This allows an ordinary guidance of 7.5. **SDS Loss** on normal maps trains the shape of the mesh.

If the volume is enough, connect **1 A volume** directly to **Bake and save**: the other stages then do not run. For several objects at once, put **Particles** between the renderer and **Optimize** inside it, multiply the steps by their number, and put **Pick Particle** after it.""",
        """\
## Numbers
The numbers are those of threestudio's `prolificdreamer`, `prolificdreamer-geometry` and `prolificdreamer-texture`: 25,000, 15,000 and 30,000 steps of one view, with 64 pixels until step 5,000 of the volume and 512 afterwards, and guidance 100 for the shape, which is 101 in the standard form of **SDS Loss**.

Differences:
* "front view" and "back view" cover 45 degrees to each side; in the published code 30 in the two stages of VSD.
* The output of the camera embedding is initialised to zero.
* The texture starts from the colours of the volume, not from a new network.
* Small components are dropped only when the mesh is created, not again before the texture stage.""",
        """\
## Files
`v2-1_512-ema-pruned.safetensors` (the base, which predicts noise) and `v2-1_768-ema-pruned.safetensors` (5.2 GB, which predicts velocity) go into `models/checkpoints`. The editor offers to download both from copies of Stability AI's pages, which are gone, under the licence CreativeML Open RAIL++-M.

One of them is enough: connect the first prior to **LoRA Prior** too. Both then share one network.""",
        """\
## Memory and time
Not measured with this pack. threestudio states 30 GB of GPU memory for the volume with views of 512 pixels, 15 GB for 64, and less than 10 with a shared model.

To use less memory: lower the last number of the schedule of pixels and the samples of **Volume Renderer**.""",
    ))
