"""Small photos and texts for the tests of the vision-language model."""

import torch

from multimodal.vision_language.presets import VISION_LANGUAGE_PRESETS

TINY = VISION_LANGUAGE_PRESETS["vision_language_tiny"]
QUESTIONS = ("is there a red shape?", "what color is the circle?", "is no triangle present?", "what is it?")


def pairs(count=4, seed=0):
    """images (count, 3, 64, 64) in [0, 1], input_ids and attention_mask (count, 16) of 5 to 8 tokens."""
    generator = torch.Generator().manual_seed(seed)
    side, length = TINY.photo.size_px, TINY.words.tokens
    images = torch.rand(count, 3, side, side, generator=generator)
    ids = torch.randint(4, 40, (count, length), generator=generator)
    lengths = torch.tensor([5 + row % 4 for row in range(count)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    return images, ids * mask, mask
