"""What one NVIDIA GPU makes of the exported graphs: is every engine right, and how near to the chip's peak.

A part is one module with `run(plan, earlier) -> Finding`, and one line in `command.PARTS`. Every part
imports what it needs when it runs: a machine with half of the packages checks half, and says so.
"""
