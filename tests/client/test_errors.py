"""Which exception a status code becomes."""

import re

import crossfuse
import grpc
import pytest
from crossfuse import _errors

from tests.client.stand_ins import Recorded, refused

CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: crossfuse.InvalidInput,
    grpc.StatusCode.RESOURCE_EXHAUSTED: crossfuse.PayloadTooLarge,
    grpc.StatusCode.NOT_FOUND: crossfuse.UnknownPipeline,
    grpc.StatusCode.UNAUTHENTICATED: crossfuse.AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: crossfuse.AccessDenied,
    grpc.StatusCode.UNAVAILABLE: crossfuse.ServerUnavailable,
    grpc.StatusCode.CANCELLED: crossfuse.ServerUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: crossfuse.Timeout,
    grpc.StatusCode.UNKNOWN: crossfuse.ServerFault,
    grpc.StatusCode.INTERNAL: crossfuse.ServerFault,
    grpc.StatusCode.UNIMPLEMENTED: crossfuse.ServerFault,
    grpc.StatusCode.ALREADY_EXISTS: crossfuse.ServerFault,
    grpc.StatusCode.FAILED_PRECONDITION: crossfuse.ServerFault,
    grpc.StatusCode.ABORTED: crossfuse.ServerFault,
    grpc.StatusCode.OUT_OF_RANGE: crossfuse.ServerFault,
    grpc.StatusCode.DATA_LOSS: crossfuse.ServerFault,
}


def test_every_code_that_is_not_ok_has_its_row_here() -> None:
    assert set(CODES) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_a_status_code_decides_the_error_and_its_text_does_not(code: grpc.StatusCode) -> None:
    for detail in ("plain", "Deadline Exceeded", "failed to connect to all addresses", ""):
        client = crossfuse.Client("127.0.0.1:1", retries=None, transport=Recorded(refused(code, detail)))
        with pytest.raises(CODES[code]) as caught:
            client.infer("weld_inspection", video=b"v")
        assert type(caught.value) is CODES[code] and caught.value.code is code


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_an_error_says_what_was_expected_what_came_and_what_to_do(code: grpc.StatusCode) -> None:
    sentence = str(_errors.error_for(code, "gate: video is 3 bytes.", "weld_inspection at host:1"))
    assert re.fullmatch(
        rf"weld_inspection at host:1: expected an answer, got {code.name} \(gate: video is 3 bytes\); [^;].+",
        sentence,
    )


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND]
)
def test_what_cannot_succeed_is_sent_once(code: grpc.StatusCode) -> None:
    recorded = Recorded(refused(code))
    recorded.config = refused(code)
    with pytest.raises(CODES[code]):
        crossfuse.Client("127.0.0.1:1", transport=recorded).infer("weld_inspection", video=b"v")
    assert len(recorded.asked) == 1


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """A name's depth is where its branch ends; its parent is the last name less deep."""
    parents = [(0, "CrossfuseError")]
    for branch, name in re.findall(r"^([│ ]*[├└]── )(\w+)", _errors.__doc__ or "", re.MULTILINE):
        parents = [(depth, above) for depth, above in parents if depth < len(branch)]
        assert getattr(crossfuse, name).__base__.__name__ == parents[-1][1]
        parents.append((len(branch), name))


def test_every_error_is_drawn_and_exported() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", _errors.__doc__ or "")) | {"CrossfuseError"}
    assert drawn == {kind.__name__ for kind in family(crossfuse.CrossfuseError)}
    assert drawn <= set(crossfuse.__all__)


def family(root: type) -> set[type]:
    return {root}.union(*(family(kind) for kind in root.__subclasses__()))
