"""Triton backend `gate`: the only step of a pipeline that may refuse a request."""
