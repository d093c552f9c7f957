from dataclasses import replace

import pytest

from export.contract import Contract, Tensor, load, parse
from export.tensorrt.profiles import Range, as_dicts, choose, profiles

PIXELS = Tensor("pixels", "FP32", (3, 32, 32))
ENGINE = Contract("model", (PIXELS,), (Tensor("tokens", "FP32", (4, 8)),), 8, "tensorrt_plan")


def batches(contract):
    return [str(profile.batch) for profile in profiles(contract)]


@pytest.mark.parametrize(
    ("names", "preferred", "expected"),
    [
        ((), (), ["1-8-8"]),
        (("0",), (4, 8), ["1-8-8"]),
        (("0",), (4,), ["1-4-8"]),
        (("0", "1"), (4, 8), ["1-1-1", "1-8-8"]),
        (("0", "1", "2"), (4, 8), ["1-1-1", "1-4-8", "1-8-8"]),
    ],
)
def test_the_names_of_the_instance_group_say_how_many_and_the_preferred_batches_what_for(
    names, preferred, expected
):
    assert batches(replace(ENGINE, profiles=names, preferred=preferred)) == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("1", "2"), r'model: expected the profiles "0", "1", .. in order, got 1, 2'),
        (("fast",), "got fast; mend its instance_group"),
        (("0", "1", "2", "3"), "expected at most 3 profiles for preferred batches of 4, 8, got 4"),
    ],
)
def test_profiles_that_the_configuration_cannot_mean_are_refused(names, sentence):
    with pytest.raises(ValueError, match=sentence):
        profiles(replace(ENGINE, profiles=names, preferred=(4, 8)))


def test_they_are_read_from_the_configuration_of_the_gpu():
    text = """
    name: "model" platform: "tensorrt_plan" max_batch_size: 16
    instance_group [ { count: 2 kind: KIND_GPU profile: [ "0", "1" ] } ]
    dynamic_batching { preferred_batch_size: [ 8, 4 ] }
    """
    contract = parse(text)
    assert (contract.profiles, contract.preferred) == (("0", "1"), (4, 8))
    assert batches(contract) == ["1-1-1", "1-8-16"]


def test_no_other_axis_of_a_fixed_input_moves():
    (profile,) = profiles(ENGINE)
    assert profile.shapes(PIXELS) == ((1, 3, 32, 32), (8, 3, 32, 32), (8, 3, 32, 32))
    assert "lengths" in as_dicts([profile])[0]
    assert as_dicts([profile])[0]["lengths"] == {}


def test_texts_and_what_a_decoder_looks_at_have_lengths_of_their_own():
    decoder = replace(
        ENGINE, inputs=(Tensor("input_ids", "INT64", (-1,)), Tensor("encoder_states", "FP32", (-1, 8)))
    )
    (profile,) = profiles(decoder)
    assert [profile.shapes(tensor) for tensor in decoder.inputs] == [
        ((1, 1), (8, 16), (8, 64)),
        ((1, 1, 8), (8, 64, 8), (8, 512, 8)),
    ]
    (other,) = profiles(decoder, {"": Range(2, 3, 5)})
    assert other.shapes(decoder.inputs[0]) == ((1, 2), (8, 3), (8, 5))
    (none,) = profiles(decoder, {"encoder_": Range(2, 3, 5)})
    with pytest.raises(LookupError, match="input_ids: expected a length for its free axis"):
        none.shapes(decoder.inputs[0])


def test_a_batch_goes_to_the_profile_that_is_tuned_nearest_to_it():
    contract = replace(ENGINE, profiles=("0", "1", "2"), preferred=(4, 8))
    built = profiles(contract)
    assert [choose(contract, built, batch) for batch in (1, 2, 4, 7, 8)] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("batch", [0, 9])
def test_a_batch_outside_every_profile_is_refused(batch):
    with pytest.raises(ValueError, match=f"model: expected a batch within the profiles 1-8-8, got {batch}"):
        choose(ENGINE, profiles(ENGINE), batch)


@pytest.mark.parametrize("sizes", [(0, 1, 2), (2, 1, 3), (1, 4, 3)])
def test_a_range_that_is_none_is_refused(sizes):
    with pytest.raises(ValueError, match="expected 1 <= minimum <= optimum <= maximum"):
        Range(*sizes)


def test_every_model_that_the_gpu_serves_as_a_plan_has_profiles_that_reach_its_whole_batch(repository):
    plans = [
        contract
        for folder in sorted(repository.iterdir())
        if (contract := load(repository, folder.name, "gpu")).engine == "tensorrt_plan"
    ]
    assert len(plans) > 10
    for contract in plans:
        last = profiles(contract)[-1].batch
        assert (last.minimum, last.maximum) == (1, contract.max_batch), contract.name
