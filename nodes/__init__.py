"""The nodes of this pack, in menu order: one line each."""
from __future__ import annotations


def node_list() -> list[type]:
    """Every node class, in menu order."""
    from .cameras.dreamfusion_light import DreamFusionLightNode
    from .cameras.fixed_orbit import FixedOrbitNode
    from .cameras.headlight import CameraLightNode
    from .cameras.magic3d_light import Magic3DLightNode
    from .cameras.multi_view_orbit import MultiViewOrbitNode
    from .cameras.random_orbit_views import RandomOrbitViewsNode
    from .cameras.reference_view import ReferenceViewNode
    from .cameras.given_views import GivenViewsNode
    from .cameras.join_pictures import JoinPicturesNode
    from .evaluate.compare_geometry import CompareGeometryNode
    from .evaluate.score_views import ScoreViewsNode
    from .fields.gaussians import GaussiansNode
    from .fields.hash_grid_sdf import HashGridSDFNode
    from .fields.hash_grid_volume import HashGridVolumeNode
    from .fields.mlp_volume import MLPVolumeNode
    from .fields.scene_to_sdf import SceneToSDFNode
    from .fields.scene_to_tet_grid import SceneToTetGridNode
    from .fields.tet_grid import TetGridNode
    from .fields.trainable_mesh import TrainableMeshNode
    from .fields.triplane_volume import TriplaneVolumeNode
    from .fields.voxel_volume import VoxelVolumeNode
    from .materials.albedo import AlbedoNode
    from .materials.environment_background import EnvironmentBackgroundNode
    from .materials.latent import LatentNode
    from .materials.lambertian import LambertianNode
    from .materials.pbr import PBRNode
    from .materials.random_background import RandomBackgroundNode
    from .materials.solid_background import SolidBackgroundNode
    from .optimize.objective import ObjectiveNode
    from .optimize.optimize import OptimizeNode
    from .optimize.optimizer_settings import OptimizerSettingsNode
    from .optimize.save_state import LoadStateNode, SaveStateNode
    from .optimize.schedule import ScheduleNode
    from .renderers.mesh_rasterizer import MeshRasterizerNode
    from .renderers.kernel_backend import KernelBackendNode
    from .renderers.neus_renderer import NeuSRendererNode
    from .renderers.particles import ParticlesNode
    from .renderers.pick_particle import PickParticleNode
    from .renderers.splat_renderer import SplatRendererNode
    from .renderers.volume_renderer import VolumeRendererNode

    return [
        HashGridVolumeNode, VoxelVolumeNode, TriplaneVolumeNode, MLPVolumeNode, HashGridSDFNode, SceneToSDFNode,
        TetGridNode, SceneToTetGridNode, TrainableMeshNode, GaussiansNode,
        AlbedoNode, LambertianNode, PBRNode, LatentNode,
        SolidBackgroundNode, RandomBackgroundNode, EnvironmentBackgroundNode,
        VolumeRendererNode, NeuSRendererNode, MeshRasterizerNode, SplatRendererNode, KernelBackendNode,
        ParticlesNode, PickParticleNode,
        RandomOrbitViewsNode, MultiViewOrbitNode, FixedOrbitNode, ReferenceViewNode, GivenViewsNode, JoinPicturesNode,
        DreamFusionLightNode, Magic3DLightNode, CameraLightNode,
        *_prior_nodes(),
        *_loss_nodes(),
        ScheduleNode, ObjectiveNode, OptimizerSettingsNode, OptimizeNode, SaveStateNode, LoadStateNode,
        *_export_nodes(),
        ScoreViewsNode, CompareGeometryNode,
        *_train_nodes(),
    ]


def _prior_nodes() -> list[type]:
    from .priors.albedo_prior import AlbedoPriorNode
    from .priors.builtin_prior import BuiltinPriorNode
    from .priors.deepfloyd_if import DeepFloydIFPriorNode
    from .priors.dreambooth_prior import DreamBoothPriorNode
    from .priors.estimate_elevation import EstimateElevationNode
    from .priors.imagedream import ImageDreamPriorNode
    from .priors.lora_prior import LoRAPriorNode
    from .priors.model_prior import PriorFromModelNode
    from .priors.mvdream import MVDreamPriorNode
    from .priors.normal_depth import NormalDepthPriorNode
    from .priors.sample_prior import LangevinSampleNode, SamplePriorNode
    from .priors.save_text_embeddings import SaveTextEmbeddingsNode
    from .priors.stable_diffusion import StableDiffusionPriorNode
    from .priors.view_prompt import ViewPromptNode
    from .priors.zero123 import Zero123PriorNode

    return [BuiltinPriorNode, PriorFromModelNode, StableDiffusionPriorNode, DeepFloydIFPriorNode, MVDreamPriorNode,
            Zero123PriorNode, ImageDreamPriorNode, NormalDepthPriorNode, AlbedoPriorNode, LoRAPriorNode,
            DreamBoothPriorNode, ViewPromptNode, SaveTextEmbeddingsNode, SamplePriorNode, LangevinSampleNode,
            EstimateElevationNode]


def _loss_nodes() -> list[type]:
    from .losses.bsd import BSDLossNode
    from .losses.distortion import DistortionLossNode
    from .losses.eikonal import EikonalLossNode
    from .losses.laplacian import LaplacianLossNode
    from .losses.normal_consistency import NormalConsistencyLossNode
    from .losses.normal_smoothness import NormalSmoothnessLossNode
    from .losses.opacity_entropy import OpacityEntropyLossNode
    from .losses.orientation import OrientationLossNode
    from .losses.reference_depth import ReferenceDepthLossNode
    from .losses.reference_mask import ReferenceMaskLossNode
    from .losses.reference_normal import ReferenceNormalLossNode
    from .losses.reference_rgb import ReferenceRGBLossNode
    from .losses.sds import SDSLossNode
    from .losses.sjc import SJCLossNode
    from .losses.sparsity import SparsityLossNode
    from .losses.vsd import VSDLossNode

    return [SDSLossNode, VSDLossNode, BSDLossNode, SJCLossNode, SparsityLossNode, OpacityEntropyLossNode,
            OrientationLossNode, DistortionLossNode, EikonalLossNode, NormalSmoothnessLossNode,
            NormalConsistencyLossNode, LaplacianLossNode,
            ReferenceRGBLossNode, ReferenceMaskLossNode, ReferenceDepthLossNode, ReferenceNormalLossNode]


def _export_nodes() -> list[type]:
    from .export.bake_texture import BakeTextureNode
    from .export.extract_mesh import ExtractMeshNode
    from .export.load_mesh import LoadMeshNode
    from .export.remesh import RemeshNode
    from .export.render_view import RenderViewNode
    from .export.save_animation import SaveAnimationNode
    from .export.save_mesh import SaveMeshNode
    from .export.scene_to_splat import SceneToSplatNode
    from .export.turntable import TurntableNode
    from .export.unwrap_uv import UnwrapUVNode

    return [ExtractMeshNode, RemeshNode, UnwrapUVNode, BakeTextureNode, SaveMeshNode, TurntableNode, RenderViewNode,
            SaveAnimationNode, SceneToSplatNode, LoadMeshNode]


def _train_nodes() -> list[type]:
    from .train.dataset_preview import DatasetPreviewNode
    from .train.shape_dataset import ShapeDatasetNode
    from .train.shape_views import ShapeViewsNode
    from .train.train_multi_view import TrainMVDreamPriorNode, TrainNormalDepthPriorNode
    from .train.train_prior import TrainPriorNode
    from .train.train_zero123 import TrainZero123PriorNode

    return [ShapeDatasetNode, ShapeViewsNode, DatasetPreviewNode, TrainPriorNode, TrainZero123PriorNode,
            TrainMVDreamPriorNode, TrainNormalDepthPriorNode]
