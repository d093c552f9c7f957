"""Reading an answer of `weld_inspection`."""

from __future__ import annotations

import numpy as np

from ._reading import Reading
from ._results import WeldInspection

AUDIO_RATE_HZ = 16_000  # of every served waveform


def read_weld(reading: Reading) -> WeldInspection:
    """Answer of `weld_inspection` -> WeldInspection.

    raises: ServerFault when tensors or names do not fit together.
    """
    classes = reading.names("class_names")
    probabilities = reading.output("probabilities", (len(classes),))
    about = reading.about()
    photos = reading.output("image_status", (-1,))[: reading.sent["image_sizes"]]
    window = reading.parameters.get("audio_window_samples")
    return WeldInspection(
        scores={
            classes[index]: float(probabilities[index]) for index in np.argsort(-probabilities, kind="stable")
        },
        anomaly_score=float(reading.output("anomaly_score", (1,))[0]),
        embedding=reading.output("embedding", (-1,)),
        attention={name: reading.output(f"{name}_attention", (-1, -1)) for name in about["status"]},
        image_status=reading.states(photos),
        audio_window_s=int(window) / AUDIO_RATE_HZ if window else None,
        sensor_columns=tuple(filter(None, reading.parameters.get("sensor_columns", "").split(","))),
        **about,
    )
