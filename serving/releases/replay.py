"""Send golden requests to two ensembles in turn, as raw tensors, so that neither has luck with the order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from serving.releases.golden import Arrays

# An answer takes a tenth of a second. A request is never cancelled: a deadline that fires can take the server
# down. So a silent pipeline is left alone after this long, and nothing more is sent to it.
SILENCE_S = 60.0
ROUNDS = 3  # of the whole set; 48 items give 144 pairs, and the page a median and a p95 that stand still
Progress = Callable[[str, int, int], None]


class Silent(RuntimeError):
    """No answer came; the request is still out."""


@dataclass
class Answers:
    """What one ensemble did with the items, by place in the set.

    outputs: the first round's tensors without batch axis, None where an error came instead
    errors:  place -> the server's sentence
    ms:      (rounds, items) client latencies; only rounds in which everything was answered
    """

    outputs: list[Arrays | None] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    ms: list[list[float]] = field(default_factory=list)


class Asker:
    """A connection of its own for inference. Use as a context manager."""

    def __init__(self, url: str, silence_s: float = SILENCE_S) -> None:
        from tritonclient.grpc import InferenceServerClient

        self._client = InferenceServerClient(url, channel_args=[("grpc.use_local_subchannel_pool", 1)])
        self._silence_s = silence_s
        self._is_out = False

    def __enter__(self) -> Asker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._is_out:  # closing would cancel the request that is still out
            self._client.close()

    def ask(self, name: str, tensors: Arrays) -> tuple[Arrays, float]:
        """One request: outputs without batch axis, and milliseconds.

        errors: RuntimeError with the server's sentence; Silent when nothing came
        """
        from tritonclient.grpc import InferInput
        from tritonclient.utils import np_to_triton_dtype

        inputs = []
        for tensor, array in tensors.items():
            entry = InferInput(tensor, [1, *array.shape], np_to_triton_dtype(array.dtype))
            entry.set_data_from_numpy(array[None])
            inputs.append(entry)
        came: SimpleQueue[tuple[Any, Any, float]] = SimpleQueue()
        self._is_out = True
        started = time.perf_counter()
        self._client.async_infer(
            name, inputs, callback=lambda result, error: came.put((result, error, time.perf_counter()))
        )
        try:
            result, error, ended = came.get(timeout=self._silence_s)
        except Empty:
            raise Silent(
                f"{name}: expected an answer within {self._silence_s:.0f} s, got none; see the server's log"
            ) from None
        self._is_out = False
        if error is not None:
            raise RuntimeError(" ".join(str(error.message()).split()))
        names = [output.name for output in result.get_response().outputs]
        outputs = {name: _plain(result.as_numpy(name)[0]) for name in names}
        return outputs, 1e3 * (ended - started)


def _plain(array: np.ndarray) -> np.ndarray:
    """Texts as numpy's own, which compare and are stored like numbers; they come as objects of bytes."""
    if array.dtype.kind != "O":
        return array
    import numpy as np

    texts = [text.decode() if isinstance(text, bytes) else str(text) for text in array.ravel()]
    return np.asarray(texts, np.str_).reshape(array.shape)


def replay(
    ask: Callable[[str, Arrays], tuple[Arrays, float]],
    names: tuple[str, str],
    requests: Iterable[Arrays],
    rounds: int = ROUNDS,
    progress: Progress = lambda what, done, total: None,
) -> tuple[Answers, Answers]:
    """Send every request to both ensembles, one at a time, the first of a pair changing from pair to pair.

    A round that is not measured comes first: both then have met every item, and the new one has its memory.
    Its answers are the ones that are compared. Rounds stop where something was not answered.
    """
    sets = Answers(), Answers()
    _rounds(ask, names, list(requests), sets, range(1 + rounds), progress)
    return sets


def measure_again(
    ask: Callable[[str, Arrays], tuple[Arrays, float]],
    names: tuple[str, str],
    requests: Iterable[Arrays],
    sets: tuple[Answers, Answers],
    progress: Progress = lambda what, done, total: None,
) -> None:
    """As many measured rounds again, added to those of `sets`."""
    first = 1 + len(sets[0].ms)
    _rounds(ask, names, list(requests), sets, range(first, first + ROUNDS), progress)


def _rounds(
    ask: Callable[[str, Arrays], tuple[Arrays, float]],
    names: tuple[str, str],
    kept: list[Arrays],
    sets: tuple[Answers, Answers],
    turns: range,
    progress: Progress,
) -> None:
    for turn in turns:
        took: tuple[list[float], list[float]] = ([], [])
        for place, tensors in enumerate(kept):
            for side in (0, 1) if (place + turn) % 2 else (1, 0):
                _one(ask, names[side], tensors, place, sets[side], took[side], turn == 0)
            progress("golden requests", (turn - turns[0]) * len(kept) + place + 1, len(turns) * len(kept))
        if sets[0].errors or sets[1].errors:
            break
        if turn:
            for side in (0, 1):
                sets[side].ms.append(took[side])


def _one(
    ask: Callable[[str, Arrays], tuple[Arrays, float]],
    name: str,
    tensors: Arrays,
    place: int,
    into: Answers,
    took: list[float],
    is_first: bool,
) -> None:
    try:
        outputs, ms = ask(name, tensors)
    except Silent:
        raise
    except RuntimeError as error:
        into.errors[place] = str(error)
        outputs, ms = None, 0.0
    if is_first:
        into.outputs.append(outputs)
    took.append(ms)


def ratios(live: Sequence[Sequence[float]], new: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Latency of the new set over that of the live one: the median of the pairs, and p95 over p95."""
    import numpy as np

    before, after = np.asarray(live), np.asarray(new)
    pairs = float(np.median(after / before))
    return pairs, float(np.percentile(after, 95) / np.percentile(before, 95))
