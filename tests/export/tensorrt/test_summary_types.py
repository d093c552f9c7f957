"""What the inspector says about types: the words of TensorRT 10 and 11 as their documentation prints them."""

import pytest

from export.tensorrt.summary import _types


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"Format/Datatype": "Half"}, "HALF"),
        ({"Format/Datatype": "Row major linear FP16 format"}, "HALF"),
        ({"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}, "INT8"),
        ({"Format/Datatype": "Channel major BFloat16 format where channel % 8 == 0"}, "BF16"),
        ({"Format/Datatype": "N/A due to dynamic shapes"}, "unknown"),
        ({"DataType": "Float", "Format": "Row major linear FP32 format (kLINEAR)"}, "FLOAT"),
        ({"Name": "tokens"}, "unknown"),
    ],
)
def test_the_type_of_an_output_is_read_from_what_either_version_says(output, expected):
    assert list(_types({"Outputs": [output]})) == [expected]


def test_a_layer_that_only_has_a_name_has_no_types():
    assert list(_types({"Name": "layer"})) == []
