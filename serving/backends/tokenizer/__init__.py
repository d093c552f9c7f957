"""Triton backend `tokenizer`: text to the token ids that a text encoder takes."""
