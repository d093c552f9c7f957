"""What DALI does with a video whose quality is asked for: nothing, PyAV reads it on a CPU and beside a GPU.

Fragments are cut from frames at their own resolution, and DALI's decoder hands out frames of one size. The
`dali` backend asks for a pipeline of `video` only where `video_frames` is all that a model takes of it.
"""
