"""crossfuse: raw recordings in, one answer and its evidence out.

    from crossfuse import Client

    with Client("127.0.0.1:8001") as client:
        weld = client.infer("weld_inspection", video="weld.avi", image=["front.jpg"], sensor="weld.csv")
        clip = client.infer("video_quality", video="clip.mp4")
        pair = client.infer("vision_language", image="shape.png", text="a red circle")
        told = client.infer("visual_question_answering", image="shape.png", question="what is red?")
    print(weld.defect, weld.scores[weld.defect], weld.status)
    print(clip.score, clip.grade)
    print(pair.similarity, told.answer, told.probability, told.captions)

Errors are a small tree, drawn at the top of `crossfuse/_errors.py`.
"""

from ._async_client import AsyncClient
from ._client import Client
from ._errors import (
    AccessDenied,
    CrossfuseError,
    DegradedModality,
    InvalidInput,
    ModalityError,
    NoUsableModality,
    PayloadTooLarge,
    ServerFault,
    ServerUnavailable,
    Timeout,
    UnknownPipeline,
)
from ._picture import save_picture
from ._pipelines import PIPELINES, Pipeline
from ._populations import canary_of, population
from ._quality import FrameQuality, Fusion, VideoQuality
from ._ranking import rank
from ._results import Answer, ServerStatus, Status, WeldInspection
from ._retries import Retries
from ._transports import TLS, AsyncTransport, Transport
from ._vision_language import VisionLanguage
from ._visual_answer import VisualAnswer

__version__ = "0.1.0"

__all__ = [
    "PIPELINES",
    "TLS",
    "AccessDenied",
    "Answer",
    "AsyncClient",
    "AsyncTransport",
    "Client",
    "CrossfuseError",
    "DegradedModality",
    "FrameQuality",
    "Fusion",
    "InvalidInput",
    "ModalityError",
    "NoUsableModality",
    "PayloadTooLarge",
    "Pipeline",
    "Retries",
    "ServerFault",
    "ServerStatus",
    "ServerUnavailable",
    "Status",
    "Timeout",
    "Transport",
    "UnknownPipeline",
    "VideoQuality",
    "VisionLanguage",
    "VisualAnswer",
    "WeldInspection",
    "canary_of",
    "population",
    "rank",
    "save_picture",
]
