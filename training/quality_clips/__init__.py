"""Clips whose quality is known: good sources, distorted here, scored against their source with VMAF.

They stand in for data sets with human scores, which no package carries: the labels are those of a
full-reference metric, so they say how much of *this* source was lost, not how people like it.
"""

from training.quality_clips.writing import Amount, generate

__all__ = ["Amount", "generate"]
