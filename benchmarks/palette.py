"""Colours that every picture of a measurement shares."""

INK, FAINT, LINE = "#1b2a41", "#6b7686", "#c3c9d2"
ALARM = "#c3203f"  # what should not be there
