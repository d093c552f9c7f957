"""One preprocess backend for all tests, of the sizes that weld_small promises."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from serving.backends.dali import serialised
from serving.backends.dali.contract import Contract
from serving.backends.dali.preprocess import Preprocessor

REPOSITORY = Path(__file__).parents[3] / "model_repository"


def committed_contract(model: str) -> Contract:
    text = (REPOSITORY / model / "configs/cpu.pbtxt").read_text()
    config = text_format.Parse(text, ModelConfig())
    return Contract.from_config(json_format.MessageToDict(config, preserving_proto_field_name=True))


def pipelines_of(model: str) -> ModuleType:
    return serialised.pipelines_of(REPOSITORY / model / "1/dali.py")


class Reader:
    """Calls the backend as Triton would: a batch of requests, present where a payload has bytes."""

    def __init__(self, model: str):
        self.contract = committed_contract(model)
        self.preprocess = Preprocessor(self.contract, pipelines_of(model))

    def __call__(self, *requests: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        columns = self.contract.present or self.contract.modalities
        present = [[request[name].size > 0 for name in columns] for request in requests]
        return self.preprocess(requests, np.array(present))


@pytest.fixture(scope="session")
def read():
    reader = Reader("weld_small_preprocess")
    yield reader
    reader.preprocess.close()


@pytest.fixture(scope="session")
def read_base():
    reader = Reader("weld_base_preprocess")
    yield reader
    reader.preprocess.close()
