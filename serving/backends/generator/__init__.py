"""Generate answers and captions on the server: ONNX Runtime, a tokenizer and numpy, no torch."""
