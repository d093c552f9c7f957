"""Fusion heads: tokens of every modality in, one vector and its evidence out. A new one is one line here."""

from multimodal.fusions.weld_cross_attention import WeldCrossAttentionFusion
from multimodal.fusions.weld_mean_pool import WeldMeanPoolFusion

WeldFusion = WeldCrossAttentionFusion | WeldMeanPoolFusion

FUSIONS: dict[str, type[WeldFusion]] = {
    "weld_cross_attention": WeldCrossAttentionFusion,
    "weld_mean_pool": WeldMeanPoolFusion,
}
