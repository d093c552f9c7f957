"""PyTorch: what the networks are. Encoders, fusions, heads, losses, presets and how they are put together."""
