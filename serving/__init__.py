"""Run the model repository on Triton: the embedded server, its supervisor and our python-based backends."""
