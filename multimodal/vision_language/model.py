"""The whole vision-language model: two encoders, a fusion, and a head for each of its tasks."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from multimodal.vision_language.cross_modal_fusion import CrossModalFusion
from multimodal.vision_language.text_decoder import TextDecoder
from multimodal.vision_language.text_encoder import TextEncoder
from multimodal.vision_language.visual_encoder import VisualEncoder


class VisionLanguageHeads(nn.Module):
    """Everything that follows the encoders; the arguments are those of VisualLanguageModel."""

    def __init__(
        self, num_classes: int, feature_dim: int, fusion: nn.Module, fused_dim: int, embedding_dim: int
    ) -> None:
        super().__init__()
        self.fusion = fusion
        self.classifier = nn.Linear(fused_dim, num_classes)
        self.retrieval_visual = nn.Linear(feature_dim, embedding_dim)
        self.retrieval_text = nn.Linear(feature_dim, embedding_dim)
        self.decoder: TextDecoder | None = None

    def embed_image(self, visual_features: Tensor) -> Tensor:
        """(batch, feature_dim) -> (batch, embedding_dim) of unit norm."""
        return functional.normalize(self.retrieval_visual(visual_features), dim=1)

    def embed_text(self, text_features: Tensor) -> Tensor:
        """(batch, feature_dim) -> (batch, embedding_dim) of unit norm."""
        return functional.normalize(self.retrieval_text(text_features), dim=1)

    def forward(
        self, visual_features: Tensor, text_features: Tensor, target_ids: Tensor | None = None
    ) -> dict[str, Any]:
        """Both (batch, feature_dim) -> what VisualLanguageModel returns.

        ValueError for a target without a decoder.
        """
        fused, evidence = self.fusion(visual_features, text_features)
        outputs = {
            "classification_logits": self.classifier(fused),
            "retrieval_visual": self.embed_image(visual_features),
            "retrieval_text": self.embed_text(text_features),
            "joint_embedding": functional.normalize(fused, dim=1),
            "visual_features": visual_features,
            "text_features": text_features,
            "fused_features": fused,
            "fusion_info": evidence,
        }
        if target_ids is not None:
            if self.decoder is None:
                raise ValueError(
                    "vision-language model: expected no target without a decoder, got one; build with a gamma"
                )
            outputs["generation_logits"] = self.decoder(fused, target_ids)
        return outputs


class VisualLanguageModel(nn.Module):
    """Photo and text in; class logits, embeddings of each and of both, and told tokens out.

    num_classes:     of the classifier over the fused vector
    feature_dim:     of both encoders' features
    fusion:          (visual, text) -> (fused, evidence); CrossModalFusion when left out
    fused_dim:       of what the fusion gives
    embedding_dim:   of the two retrieval heads, which act on the features of one modality each, so that a
                     photo is found by a text that it was never fused with
    heads.decoder:   tells a text from the fused vector; None leaves generation out altogether
    The fused vector at unit norm is the joint embedding: a head of its own would have no loss to learn from.
    With everything left out: 136,784,168 parameters.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        feature_dim: int = 512,
        visual: VisualEncoder | None = None,
        text: TextEncoder | None = None,
        fusion: nn.Module | None = None,
        fused_dim: int = 0,
        embedding_dim: int = 0,
    ) -> None:
        super().__init__()
        fused_dim, embedding_dim = fused_dim or feature_dim, embedding_dim or feature_dim
        self.fusion_name = "mlp"
        self.visual = visual or VisualEncoder(feature_dim)
        self.text = text or TextEncoder(feature_dim)
        self.heads = VisionLanguageHeads(
            num_classes,
            feature_dim,
            fusion or CrossModalFusion(feature_dim, fused_dim),
            fused_dim,
            embedding_dim,
        )

    def forward(
        self, images: Tensor, input_ids: Tensor, attention_mask: Tensor, target_ids: Tensor | None = None
    ) -> dict[str, Any]:
        """Answer, embed and, given a target, tell.

        images: (batch, 3, height, width) in [0, 1]; input_ids, attention_mask: (batch, length) int64
        target_ids: (batch, target length) int64, needs a decoder
        returns: classification_logits (batch, num_classes), retrieval_visual and retrieval_text (batch,
                 embedding_dim) of unit norm, joint_embedding (batch, fused_dim) of unit norm,
                 visual_features, text_features, fused_features, fusion_info, and generation_logits (batch,
                 target length, vocabulary)
        """
        return self.heads(self.visual(images), self.text(input_ids, attention_mask), target_ids)
