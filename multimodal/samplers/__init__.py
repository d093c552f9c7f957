"""Which frames of a long video are looked at; a new sampler is one line here.

Called with the frames of one clip, each hands back the chosen frames, their indices and a value per frame.
"""

from multimodal.samplers.content_aware import ContentAwareSampler
from multimodal.samplers.motion_aware import MotionAwareSampler

SAMPLERS: dict[str, type[ContentAwareSampler] | type[MotionAwareSampler]] = {
    "content": ContentAwareSampler,  # learned; reads the network's input
    "motion": MotionAwareSampler,  # dense optical flow; reads decoded pictures
}
