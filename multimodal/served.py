"""The dense graphs that are exported: positional tensors, in the order of each model's configuration."""

from __future__ import annotations

from torch import Tensor, nn

from multimodal.front_ends import PixelFrontEnd
from multimodal.levels import LevelFrontEnd, reading_levels
from multimodal.weld import FusedAnswer, QuadModalWeldModel, keep_valid
from multimodal.weld_classes import MODALITIES


class ServedEncoder(nn.Module):
    """Front end and encoder of one modality; rows that are not valid give zero tokens.

    Those of photos and videos read levels, with the same answers: see `multimodal.levels`.
    """

    def __init__(self, model: QuadModalWeldModel, modality: str) -> None:
        super().__init__()
        if modality not in MODALITIES:
            raise ValueError(f"modality: expected one of {', '.join(MODALITIES)}, got '{modality}'")
        self.front_end = model.front_ends[modality]
        self.encoder = model.encoders[modality]
        if isinstance(self.front_end, PixelFrontEnd):
            self.front_end, self.encoder = LevelFrontEnd(), reading_levels(self.encoder)

    def forward(self, raw: Tensor, second: Tensor, third: Tensor | None = None) -> Tensor:
        """Tokens (batch, tokens, width).

        raw, valid for video, image and sensor; waveform, samples, valid for audio. Shapes:
        `QuadModalWeldModel.encode`.
        """
        if third is None:
            return keep_valid(self.encoder(self.front_end(raw)), second)
        return keep_valid(self.encoder(self.front_end(raw, second)), third)


class ServedFusion(nn.Module):
    """Fusion and heads on the tokens of all four encoders."""

    def __init__(self, model: QuadModalWeldModel) -> None:
        super().__init__()
        self.answer = FusedAnswer(model.fusion, model.norm, model.heads)

    def forward(  # noqa: PLR0913  an exported graph has positional tensors only
        self,
        video_tokens: Tensor,
        image_tokens: Tensor,
        audio_tokens: Tensor,
        sensor_tokens: Tensor,
        video_valid: Tensor,
        image_valid: Tensor,
        audio_valid: Tensor,
        sensor_valid: Tensor,
    ) -> tuple[Tensor, ...]:
        """Probabilities (batch, classes), anomaly score (batch, 1), unit embedding, four attentions."""
        tokens = dict(zip(MODALITIES, (video_tokens, image_tokens, audio_tokens, sensor_tokens), strict=True))
        valid = dict(zip(MODALITIES, (video_valid, image_valid, audio_valid, sensor_valid), strict=True))
        answer = self.answer.fuse(tokens, valid)
        attention = tuple(answer.attention[name] for name in MODALITIES)
        return answer.probabilities, answer.anomaly_score.unsqueeze(-1), answer.features, *attention
