"""Fusion heads: several views in, one vector or score and its evidence out. A new one is one line here.

FUSIONS join the tokens of the weld model's modalities, QUALITY_FUSIONS the two views of a video,
MULTIMODAL_FUSIONS one vector from each of any number of modalities.
"""

from collections.abc import Callable, Sequence
from functools import partial

from multimodal.clip_features import QualityFusion
from multimodal.fusions.attention_fusion import AttentionFusion
from multimodal.fusions.concatenation import ConcatenationFusion
from multimodal.fusions.cross_attention import BiDirectionalCrossAttention
from multimodal.fusions.dynamic_weight import DynamicWeightNetwork
from multimodal.fusions.early_fusion import EarlyFusion
from multimodal.fusions.gated import GatedFusion
from multimodal.fusions.gated_vectors import GatedVectorFusion
from multimodal.fusions.hierarchical import HierarchicalFeatureFusion
from multimodal.fusions.late_fusion import LateFusion
from multimodal.fusions.mixture_of_experts import AdaptiveGatedFusion
from multimodal.fusions.modality_fusion import ModalityFusion, ModalityFusionSizes
from multimodal.fusions.multi_level import MultiLevelFusion
from multimodal.fusions.pyramid import PyramidFeatureFusion
from multimodal.fusions.quality_aware import QualityAwareFusion
from multimodal.fusions.quality_aware_score import QualityAwareScoreFusion
from multimodal.fusions.score_mixture import ScoreMixtureOfExperts
from multimodal.fusions.selected_fusion import MultimodalFusion
from multimodal.fusions.self_attention import SelfAttentionFusion
from multimodal.fusions.space_time_cross_attention import SpatioTemporalCrossAttention
from multimodal.fusions.space_time_gated import SpatioTemporalGatedFusion
from multimodal.fusions.vector_cross_attention import VectorCrossAttention
from multimodal.fusions.weld_cross_attention import WeldCrossAttentionFusion
from multimodal.fusions.weld_mean_pool import WeldMeanPoolFusion

WeldFusion = WeldCrossAttentionFusion | WeldMeanPoolFusion

FUSIONS: dict[str, type[WeldFusion]] = {
    "weld_cross_attention": WeldCrossAttentionFusion,
    "weld_mean_pool": WeldMeanPoolFusion,
}

# The order is served: an answer names its fusion by its place here. New ones go to the end.
QUALITY_FUSIONS: dict[str, type[QualityFusion]] = {
    "vector_cross_attention": VectorCrossAttention,
    "cross_attention": BiDirectionalCrossAttention,
    "self_attention": SelfAttentionFusion,
    "gated": GatedFusion,
    "mixture_of_experts": AdaptiveGatedFusion,
    "hierarchical": HierarchicalFeatureFusion,
    "pyramid": PyramidFeatureFusion,
    "dynamic_weight": DynamicWeightNetwork,
    "quality_aware": QualityAwareFusion,
    "space_time_cross_attention": SpatioTemporalCrossAttention,
    "space_time_gated": SpatioTemporalGatedFusion,
    "multi_level": MultiLevelFusion,
    "score_mixture": ScoreMixtureOfExperts,
    "quality_aware_score": QualityAwareScoreFusion,
    "concatenation": ConcatenationFusion,
}

# Name -> builder of a module from the widths of its modalities and the sizes of the fusion.
MULTIMODAL_FUSIONS: dict[str, Callable[[Sequence[int], ModalityFusionSizes], ModalityFusion]] = {
    "early": EarlyFusion.from_sizes,
    "attention": AttentionFusion.from_sizes,
    "additive_attention": partial(AttentionFusion.from_sizes, mode="additive"),
    "gated_vectors": GatedVectorFusion.from_sizes,
    "normalised_gated_vectors": partial(GatedVectorFusion.from_sizes, normalize=True),
    "late": LateFusion.from_sizes,
    "selected": MultimodalFusion.from_sizes,
}
