"""A small network with a contract, exported: a mask, pixels, a batch of up to eight."""

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.gpu_check.subjects import Subject, dense_graph
from export.contract import parse

CONFIG = """
name: "small_encoder" max_batch_size: 8 platform: "tensorrt_plan"
input [ { name: "image_pixels" data_type: TYPE_UINT8 dims: [ 3, 8, 8, 3 ] },
        { name: "image_valid" data_type: TYPE_BOOL dims: [ 3 ] } ]
output [ { name: "image_tokens" data_type: TYPE_FP32 dims: [ 3, 4 ] } ]
instance_group [ { count: 1 kind: KIND_GPU profile: [ "0" ] } ]
"""


class Encoder(nn.Module):
    """(batch, 3, 8, 8, 3) pixels -> (batch, 3, 4) tokens, zeros where a row is not valid."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(192, 16), nn.Linear(16, 4)

    def forward(self, pixels, valid):
        flat = pixels.float().flatten(2) / 255
        return self.second(self.first(flat).relu()) * valid[..., None]


@pytest.fixture(scope="session")
def subject() -> Subject:
    torch.manual_seed(3)
    contract = parse(CONFIG)
    return Subject("small", contract, Encoder().eval().requires_grad_(False), False, contract)


@pytest.fixture(scope="session")
def graph(subject, tmp_path_factory) -> Path:
    return dense_graph(subject, tmp_path_factory.mktemp("work"))
