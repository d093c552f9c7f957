"""Precision only as low as accuracy allows: what a graph may lose, how it is lowered, and what was tried."""
