"""Simulated weld runs as files, laid out as the Intel Robotic Welding Multimodal Dataset lays out real ones.

They stand in for the public recordings, which are research-only and 40 GB: the same file formats, columns,
names and classes. `signatures` spreads the evidence so that no single modality tells the classes apart.
"""

from training.weld_runs.writing import generate, write_run

__all__ = ["generate", "write_run"]
