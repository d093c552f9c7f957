"""Plug-and-play visual question answering with two visual streams; nothing here imports torch."""
