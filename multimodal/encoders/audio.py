"""Audio encoder: Audio Spectrogram Transformer, pooled to one token per stretch of time."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from transformers import ASTConfig, ASTModel

from multimodal.encoders.backbone import EAGER, BackboneEncoder, load_backbone
from multimodal.encoders.pooling import pool_tokens
from multimodal.front_ends import PADDING_FEATURE
from multimodal.presets import Audio

SPECIAL_TOKENS = 2  # class and distillation
POOLINGS = ("time_bins", "freq_rows")


class WeldAudioEncoder(BackboneEncoder):
    """Log-mel features to `out_tokens` tokens, by default time bins averaged over frequency.

    `freq_rows` averages over time instead and keeps frequency.
    Source: Gong et al., AST (arXiv 2104.01778). Strides are read from the config: the checkpoint named 14-14
    has 9 x 73 patches, the one named 10-10 has 12 x 101.
    """

    def __init__(
        self,
        backbone: ASTModel,
        embed_dim: int | None = None,
        out_tokens: int = 12,
        pooling: str = "time_bins",
        freeze_backbone: bool = True,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f"audio pooling: expected one of {', '.join(POOLINGS)}, got '{pooling}'")
        super().__init__(backbone, embed_dim, freeze_backbone)
        self.out_tokens, self.pooling = out_tokens, pooling

    @classmethod
    def from_preset(cls, audio: Audio) -> WeldAudioEncoder:
        """Random weights at the preset's sizes, trainable."""
        sizes = audio.transformer
        config = ASTConfig(
            hidden_size=sizes.width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            intermediate_size=round(sizes.width * sizes.mlp_ratio),
            patch_size=audio.patch,
            frequency_stride=audio.stride,
            time_stride=audio.stride,
            max_length=audio.frames,
            num_mel_bins=audio.mel_bins,
            **EAGER,
        )
        return cls(ASTModel(config), out_tokens=audio.tokens, freeze_backbone=False)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        embed_dim: int | None = None,
        out_tokens: int = 12,
        freeze_backbone: bool = True,
    ) -> WeldAudioEncoder:
        """Weights from a hub id (`MIT/ast-finetuned-audioset-14-14-0.443`) or a folder, else OSError."""
        return cls(load_backbone(ASTModel, source), embed_dim, out_tokens, freeze_backbone=freeze_backbone)

    def forward(self, features: Tensor) -> Tensor:
        """Encode normalised log-mel features.

        features: (batch, time, mel) or mel-major (batch, 1, mel, time); time is padded or cut to the config's
                  length
        returns:  (batch, out_tokens, embed_dim)
        """
        config = self.backbone.config
        if features.dim() == 4:
            features = features.squeeze(1).transpose(1, 2)
        if features.shape[-1] != config.num_mel_bins:
            raise ValueError(
                f"audio: expected (batch, time, mel) or (batch, 1, mel, time), {config.num_mel_bins} mel "
                f"bins, got {tuple(features.shape)}; swap the axes if they are exchanged"
            )
        missing = config.max_length - features.shape[1]
        if missing:
            features = nn.functional.pad(features, (0, 0, 0, missing), value=PADDING_FEATURE)  # negative cuts
        with self.gradient_scope():
            hidden = self.backbone(features).last_hidden_state
        rows = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        bins = (config.max_length - config.patch_size) // config.time_stride + 1
        grid = hidden[:, SPECIAL_TOKENS:].unflatten(1, (rows, bins))  # (batch, frequency, time, width)
        kept = grid.mean(dim=1) if self.pooling == "time_bins" else grid.mean(dim=2)
        return self.projection(pool_tokens(kept, self.out_tokens))
