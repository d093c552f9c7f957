"""A bad input harms only itself: refused with a sentence, or masked and reported."""

import numpy as np
import pytest
from crossfuse import InvalidInput, NoUsableModality, Status

from tests.end_to_end.weld_files import differences

REFUSED = {
    "video that is text": ({"video": b"not a video at all, only text" * 9}, "video: expected"),
    "photo that is a pdf": ({"image": [b"%PDF-1.7 and so on" * 9]}, "image"),
    "six photos": ({"image": [b"\xff\xd8\xff\xe0" + bytes(99)] * 6}, "image"),
    "sound that is random": ({"audio": bytes(range(256)) * 4}, "audio: expected"),
    "sensors without a column": ({"sensor": b"Pressure,Feed\n1,2\n3,4\n"}, "CO2 Weld Flow"),
    "sensors of another width": ({"sensor": np.zeros((30, 5), np.float32)}, "6"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_is_visibly_wrong_is_refused_with_a_sentence(client, welds, case):
    payloads, sentence = REFUSED[case]
    with pytest.raises(Exception, match=sentence) as caught:
        client.infer("weld_inspection", **payloads)
    assert isinstance(caught.value, InvalidInput)


CORRUPT = {
    "video": lambda weld: weld.video[:600],
    "audio": lambda weld: weld.audio[: len(weld.audio) // 2],
    "image": lambda weld: [photo[: len(photo) // 2] for photo in weld.image],
    "sensor": lambda weld: weld.sensor.splitlines()[0] + b"\nno,number,in,this,row,at,all,,,\n" * 3,
}


@pytest.mark.parametrize("modality", CORRUPT)
def test_what_does_not_decode_costs_its_modality_and_nothing_else(client, welds, modality):
    weld = welds[1]
    degraded = client.infer("weld_inspection", **weld.payloads(**{modality: CORRUPT[modality](weld)}))
    assert degraded.status[modality] is Status.CORRUPT
    without = client.infer("weld_inspection", **{k: v for k, v in weld.payloads().items() if k != modality})
    assert degraded.scores == pytest.approx(without.scores, abs=1e-4)


def test_one_bad_photo_leaves_the_other_four(client, welds):
    photos = list(welds[0].image)
    photos[2] = photos[2][: len(photos[2]) // 2]
    served = client.infer("weld_inspection", **welds[0].payloads(image=photos))
    assert served.status["image"] is Status.PARTIAL
    assert [status is Status.OK for status in served.image_status] == [True, True, False, True, True]


def test_nothing_usable_is_an_error_and_not_an_answer(client, welds):
    with pytest.raises(NoUsableModality, match="audio"):
        client.infer("weld_inspection", audio=CORRUPT["audio"](welds[0]))


def test_the_server_answers_as_before_after_all_of_that(client, welds):
    first = client.infer("weld_inspection", **welds[4].payloads())
    for payloads, _ in REFUSED.values():
        with pytest.raises(InvalidInput):
            client.infer("weld_inspection", **payloads)
    assert differences(client.infer("weld_inspection", **welds[4].payloads()), first) == []
