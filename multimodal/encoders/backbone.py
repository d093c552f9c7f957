"""What the encoders around a pretrained network share: freezing, projection to the token width, loading."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

# Explicit attention: its exported graph has a quarter fewer nodes than the decomposition of the fused kernel.
EAGER: dict[str, Any] = {"attn_implementation": "eager"}
Backbone = TypeVar("Backbone", bound=PreTrainedModel)


class BackboneEncoder(nn.Module):
    """A `transformers` network, a projection to `embed_dim` where widths differ, and the choice to freeze the
    network.

    A frozen backbone has no gradient, stays in eval mode when the encoder trains, and keeps no activations.
    """

    def __init__(self, backbone: PreTrainedModel, embed_dim: int | None, freeze_backbone: bool) -> None:
        super().__init__()
        width = backbone.config.hidden_size
        self.backbone = backbone
        self.projection = nn.Identity() if embed_dim in (None, width) else nn.Linear(width, embed_dim)
        self.frozen = False
        if freeze_backbone:
            self.freeze_backbone()

    def freeze_backbone(self) -> None:
        """Stop training the backbone; the projection goes on learning."""
        self.frozen = True
        self.backbone.requires_grad_(False)
        self.backbone.eval()

    def train(self, mode: bool = True) -> BackboneEncoder:
        """Switch mode as usual, but leave a frozen backbone in eval mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def gradient_scope(self) -> torch.no_grad | nullcontext[None]:
        """The context in which the backbone runs."""
        return torch.no_grad() if self.frozen else nullcontext()


def load_backbone(model_class: type[Backbone], source: str | Path) -> Backbone:
    """Load published weights from a hub id or a local folder, in float32 whatever they are stored in.

    Raises OSError in one line when the source can neither be found locally nor be downloaded.
    """
    try:
        return model_class.from_pretrained(str(source), dtype=torch.float32, **EAGER)
    except OSError as failure:
        raise OSError(
            f"{model_class.__name__}: expected a folder from save_pretrained or a reachable hub id, got "
            f"'{source}' ({str(failure).splitlines()[0]}); download it once and pass the folder"
        ) from failure
