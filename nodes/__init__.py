"""The nodes of this pack. A node has one line here: its place is its place in the menu."""
from __future__ import annotations


def node_list() -> list[type]:
    """Every node class, in menu order."""
    from .fields.hash_grid_volume import HashGridVolumeNode
    from .fields.voxel_volume import VoxelVolumeNode
    from .fields.triplane_volume import TriplaneVolumeNode
    from .fields.mlp_volume import MLPVolumeNode
    from .fields.hash_grid_sdf import HashGridSDFNode
    from .fields.scene_to_sdf import SceneToSDFNode
    from .fields.tet_grid import TetGridNode
    from .fields.scene_to_tet_grid import SceneToTetGridNode
    from .fields.trainable_mesh import TrainableMeshNode
    from .fields.mesh_style import MeshStyleNode
    from .fields.gaussians import GaussiansNode

    from .materials.albedo import AlbedoNode
    from .materials.lambertian import LambertianNode
    from .materials.pbr import PBRNode
    from .materials.latent import LatentNode
    from .materials.solid_background import SolidBackgroundNode
    from .materials.random_background import RandomBackgroundNode
    from .materials.environment_background import EnvironmentBackgroundNode

    from .renderers.volume_renderer import VolumeRendererNode
    from .renderers.neus_renderer import NeuSRendererNode
    from .renderers.mesh_rasterizer import MeshRasterizerNode
    from .renderers.splat_renderer import SplatRendererNode
    from .renderers.kernel_backend import KernelBackendNode
    from .renderers.particles import ParticlesNode
    from .renderers.pick_particle import PickParticleNode

    from .cameras.random_orbit_views import RandomOrbitViewsNode
    from .cameras.multi_view_orbit import MultiViewOrbitNode
    from .cameras.fixed_orbit import FixedOrbitNode
    from .cameras.reference_view import ReferenceViewNode
    from .cameras.given_views import GivenViewsNode
    from .cameras.join_pictures import JoinPicturesNode
    from .cameras.dreamfusion_light import DreamFusionLightNode
    from .cameras.magic3d_light import Magic3DLightNode
    from .cameras.headlight import CameraLightNode

    from .priors.builtin_prior import BuiltinPriorNode
    from .priors.model_prior import PriorFromModelNode
    from .priors.stable_diffusion import StableDiffusionPriorNode
    from .priors.deepfloyd_if import DeepFloydIFPriorNode
    from .priors.diffusers_prior import DiffusersPriorNode
    from .priors.mvdream import MVDreamPriorNode
    from .priors.zero123 import Zero123PriorNode
    from .priors.imagedream import ImageDreamPriorNode
    from .priors.normal_depth import NormalDepthPriorNode
    from .priors.albedo_prior import AlbedoPriorNode
    from .priors.lora_prior import LoRAPriorNode
    from .priors.dreambooth_prior import DreamBoothPriorNode
    from .priors.clip_tower import CLIPTowerNode
    from .priors.view_prompt import ViewPromptNode
    from .priors.save_text_embeddings import SaveTextEmbeddingsNode
    from .priors.sample_prior import SamplePriorNode
    from .priors.sample_prior import LangevinSampleNode
    from .priors.estimate_elevation import EstimateElevationNode

    from .losses.sds import SDSLossNode
    from .losses.vsd import VSDLossNode
    from .losses.bsd import BSDLossNode
    from .losses.sjc import SJCLossNode
    from .losses.score_terms import ScoreTermsLossNode
    from .losses.clip import CLIPLossNode
    from .losses.feature import FeatureLossNode
    from .losses.sparsity import SparsityLossNode
    from .losses.transmittance import TransmittanceLossNode
    from .losses.opacity_entropy import OpacityEntropyLossNode
    from .losses.orientation import OrientationLossNode
    from .losses.distortion import DistortionLossNode
    from .losses.depth_variance import DepthVarianceLossNode
    from .losses.emptiness import EmptinessLossNode
    from .losses.convexity import ConvexityLossNode
    from .losses.total_variation import TotalVariationLossNode
    from .losses.eikonal import EikonalLossNode
    from .losses.normal_smoothness import NormalSmoothnessLossNode
    from .losses.normal_consistency import NormalConsistencyLossNode
    from .losses.laplacian import LaplacianLossNode
    from .losses.reference_rgb import ReferenceRGBLossNode
    from .losses.reference_mask import ReferenceMaskLossNode
    from .losses.reference_depth import ReferenceDepthLossNode
    from .losses.reference_normal import ReferenceNormalLossNode

    from .optimize.schedule import ScheduleNode
    from .optimize.objective import ObjectiveNode
    from .optimize.optimizer_settings import OptimizerSettingsNode
    from .optimize.optimize import OptimizeNode
    from .optimize.save_state import SaveStateNode
    from .optimize.save_state import LoadStateNode

    from .export.extract_mesh import ExtractMeshNode
    from .export.remesh import RemeshNode
    from .export.unwrap_uv import UnwrapUVNode
    from .export.bake_texture import BakeTextureNode
    from .export.save_mesh import SaveMeshNode
    from .export.turntable import TurntableNode
    from .export.render_view import RenderViewNode
    from .export.save_animation import SaveAnimationNode
    from .export.scene_to_splat import SceneToSplatNode
    from .export.load_mesh import LoadMeshNode

    from .evaluate.score_views import ScoreViewsNode
    from .evaluate.compare_geometry import CompareGeometryNode
    from .evaluate.clip_r_precision import CLIPRPrecisionNode

    from .train.shape_dataset import ShapeDatasetNode
    from .train.shape_views import ShapeViewsNode
    from .train.dataset_preview import DatasetPreviewNode
    from .train.train_prior import TrainPriorNode
    from .train.train_clip import TrainCLIPNode
    from .train.train_score_model import TrainScoreModelNode
    from .train.train_zero123 import TrainZero123PriorNode
    from .train.train_multi_view import TrainMVDreamPriorNode
    from .train.train_multi_view import TrainNormalDepthPriorNode

    return list(locals().values())
