"""Content-aware sampling: a small network learns which frames are worth encoding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ContentAwareSampler(nn.Module):
    """Rate every frame, keep the best ones in their order.

    Choosing has no gradient. While training, the chosen frames are therefore multiplied by
    1 + score - stop_gradient(score): the factor is 1, its gradient goes to the scores.

    extractor:     frames (images, 3, height, width) -> features (images, feature_width)
    target_frames: how many frames are kept
    Parameters beside the extractor's: feature_width * hidden + 2 hidden + 1.
    """

    def __init__(
        self, extractor: nn.Module, feature_width: int, hidden: int = 512, target_frames: int = 8
    ) -> None:
        super().__init__()
        if min(feature_width, hidden, target_frames) < 1:
            raise ValueError(
                "content-aware sampler: expected a feature width, a hidden width and a number of frames of "
                f"at least 1, got {feature_width}, {hidden} and {target_frames}"
            )
        self.target_frames = target_frames
        self.extractor = extractor
        self.importance = nn.Sequential(
            nn.Linear(feature_width, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid()
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose `target_frames` of the frames; of fewer frames all, repeated evenly.

        frames:  (batch, frames, 3, height, width) or, for one clip, (frames, 3, height, width); floats
        returns: chosen frames (batch, target, 3, height, width), their indices (batch, target), rising, and
                 scores (batch, frames) in (0, 1); without the batch for one clip
        ValueError for another rank, or no frame
        """
        if frames.dim() == 4:
            chosen, indices, scores = self(frames.unsqueeze(0))
            return chosen[0], indices[0], scores[0]
        if frames.dim() != 5 or not frames.shape[1]:
            raise ValueError(
                "content-aware sampler: expected (batch, frames, 3, height, width) or (frames, 3, height, "
                f"width) with at least one frame, got {tuple(frames.shape)}"
            )
        batch, count = frames.shape[:2]
        features = self.extractor(frames.flatten(0, 1))  # (batch * frames, feature width)
        scores = self.importance(features).reshape(batch, count)
        indices = self._choose(scores)
        chosen = frames.gather(1, indices[..., None, None, None].expand(-1, -1, *frames.shape[2:]))
        if self.training:
            gradient = 1 + scores - scores.detach()  # all ones
            chosen = chosen * gradient.gather(1, indices)[..., None, None, None]
        return chosen, indices, scores

    def _choose(self, scores: Tensor) -> Tensor:
        """Indices (batch, target), rising, of the highest scores (batch, frames)."""
        batch, count = scores.shape
        if count <= self.target_frames:
            steps = torch.arange(self.target_frames, device=scores.device)
            return (steps * count // self.target_frames).expand(batch, -1)
        return scores.topk(self.target_frames, dim=1).indices.sort(dim=1).values
