"""Releases: a whole set of engines goes live at once, proven first, and comes back in milliseconds."""
