"""What is wrong with a set of engines, told before anything is touched."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from serving.releases.sets import members_of, read_set
from tests.serving.releases.small_sets import (
    ENGINES,
    PIPELINE,
    branching,
    describe,
    edit_graph,
    edit_manifest,
    multiplying,
    write_engine,
    write_repository,
    write_set,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_repository(tmp_path / "repository")


@pytest.fixture
def source(tmp_path: Path, repository: Path) -> Path:
    return write_set(tmp_path / "export", repository, 2.0)


def faults_of(source: Path, repository: Path) -> list[str]:
    with pytest.raises(ValueError) as refused:
        read_set(source, PIPELINE, repository, "cpu")
    return str(refused.value).splitlines()


def only_fault_of(source: Path, repository: Path) -> str:
    (fault,) = faults_of(source, repository)
    return fault


def put_graph(source: Path, repository: Path, model: onnx.ModelProto, name: str = "encoder") -> None:
    onnx.save(model, source / name / "model.onnx")
    describe(source / name, name, repository, weights="2")


def test_a_good_set_is_read_in_the_order_of_the_steps(source, repository):
    found = read_set(source, PIPELINE, repository, "cpu")
    assert list(found) == ["encoder", "head"]
    size = (source / "head" / "model.onnx").stat().st_size
    assert (found["head"].bytes, found["head"].engine_bytes) == (size, size)
    assert found["head"].weights_sha256 == "2"
    assert list(found["head"].files) == ["model.onnx"]


def test_files_that_no_manifest_names_do_not_count(source, repository):
    (source / "head" / "notes.txt").write_text("tried twice")
    (source / "head" / ".gitkeep").touch()
    assert list(read_set(source, PIPELINE, repository, "cpu")["head"].files) == ["model.onnx"]


def test_the_newest_of_numbered_folders_is_meant(tmp_path, repository):
    for version, factor in (("2", 2.0), ("10", 3.0)):
        write_engine(tmp_path / "export" / "head" / version, "head", factor, repository)
    found = read_set(tmp_path / "export", PIPELINE, repository, "cpu")
    assert found["head"].folder == tmp_path / "export" / "head" / "10"


def test_a_whole_repository_is_a_source_and_what_it_holds_besides_is_left_out(tmp_path, repository):
    other = shutil.copytree(repository, tmp_path / "other")
    shutil.copytree(other / "head", other / "somebody_else")
    assert list(read_set(other, PIPELINE, repository, "cpu")) == ["encoder", "head"]


def test_a_folder_that_is_not_there(tmp_path, repository):
    assert only_fault_of(tmp_path / "exprot", repository) == (
        f"{tmp_path / 'exprot'}: expected a folder of engines, found none; check the path"
    )


def test_a_folder_without_models(tmp_path, repository):
    (tmp_path / "export").mkdir()
    assert only_fault_of(tmp_path / "export", repository) == (
        f"{tmp_path / 'export'}: expected engines of inspection in folders such as head, found none; "
        "name the folder that holds the models' folders"
    )


def test_a_model_that_the_pipeline_does_not_have_is_told_with_the_one_meant(source, repository):
    (source / "head").rename(source / "haed")
    assert only_fault_of(source, repository) == (
        "haed: expected a model of inspection, got another; did you mean head?"
    )


def test_a_single_model_is_no_pipeline(repository):
    with pytest.raises(ValueError, match="head: expected an ensemble, got a single model; name a pipeline"):
        members_of(repository, "head", "cpu")


def test_a_missing_manifest(source, repository):
    (source / "head" / "manifest.json").unlink()
    assert only_fault_of(source, repository) == (
        f"head: expected {source / 'head' / 'manifest.json'}, found none; export the model again"
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"model": "head", "parity": NaN}'])
def test_a_broken_manifest(source, repository, text):
    (source / "head" / "manifest.json").write_text(text)
    assert "manifest.json: expected a" in only_fault_of(source, repository)


@pytest.mark.parametrize("name", ["../head/model.onnx", "/etc/passwd", "..", "manifest.json"])
def test_a_manifest_that_reaches_outside_its_folder(source, repository, name):
    edit_manifest(source / "head", files={name: {"sha256": "0" * 64, "bytes": 1}})
    assert "head: expected files with sha256 and bytes in its manifest" in only_fault_of(source, repository)


def test_a_manifest_without_files(source, repository):
    edit_manifest(source / "head", files={})
    assert "head: expected files with sha256 and bytes in its manifest" in only_fault_of(source, repository)


def test_an_edited_hash(source, repository):
    content = json.loads((source / "head" / "manifest.json").read_text())
    content["files"]["model.onnx"]["sha256"] = "0" * 64
    edit_manifest(source / "head", files=content["files"])
    fault = only_fault_of(source, repository)
    assert fault.startswith("head: ")
    assert f"expected sha256 {'0' * 64}, got another" in fault


def test_a_manifest_that_claims_other_weights_than_it_was_made_from(source, repository):
    edit_manifest(source / "encoder", weights_sha256="3")
    assert "encoder: expected a manifest as export wrote it, got an edited one" in only_fault_of(
        source, repository
    )


def test_an_engine_without_a_choice_of_fusion_has_none_in_its_manifest_and_is_not_edited(source, repository):
    for folder in source.iterdir():
        content = json.loads((folder / "manifest.json").read_text())
        assert content.pop("fusion") == ""
        (folder / "manifest.json").write_text(json.dumps(content))
    assert list(read_set(source, PIPELINE, repository, "cpu")) == ["encoder", "head"]


def test_a_truncated_engine(source, repository):
    engine = source / "head" / "model.onnx"
    size = engine.stat().st_size
    with engine.open("r+b") as file:
        file.truncate(size // 2)
    assert f"model.onnx: expected {size} bytes, got {size // 2}" in only_fault_of(source, repository)


def test_a_truncated_engine_that_was_described_afterwards(source, repository):
    engine = source / "head" / "model.onnx"
    with engine.open("r+b") as file:
        file.truncate(engine.stat().st_size // 2)
    describe(source / "head", "head", repository, weights="2")
    assert "head: model.onnx: expected an ONNX graph, got: " in only_fault_of(source, repository)


def test_a_missing_file(source, repository):
    (source / "head" / "model.onnx").unlink()
    assert "model.onnx: expected" in only_fault_of(source, repository)
    assert "found no file; export the model again" in only_fault_of(source, repository)


def test_a_set_without_the_file_that_the_server_loads(source, repository):
    (source / "head" / "model.onnx").rename(source / "head" / "dense.onnx")
    describe(source / "head", "head", repository, weights="2")
    assert only_fault_of(source, repository) == (
        "head: expected model.onnx, which target cpu loads, its manifest names dense.onnx; add it"
    )


def test_an_engine_that_was_exported_for_another_contract(source, repository):
    describe(source / "head", "head", repository, "2", contract_sha256="1" * 64)
    assert "head: expected an engine for the tensors of its config.pbtxt" in only_fault_of(source, repository)


def test_an_engine_in_the_folder_of_another_model(source, repository):
    shutil.rmtree(source / "head")
    shutil.copytree(source / "encoder", source / "head")
    assert only_fault_of(source, repository) == (
        "head: expected the manifest of head, got that of encoder; put each engine into its own folder"
    )


def test_a_graph_with_another_output_shape(source, repository):
    def widen(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones(4, np.float32), "factor"))
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[1].dim_value = 4

    edit_graph(source / "head", "head", repository, widen, "2")
    assert faults_of(source, repository) == [
        "head: model.onnx: input tokens: expected [3] after the batch, the graph has [4]; "
        "export the model for this configuration",
        "head: model.onnx: output scores: expected [3] after the batch, the graph has [4]; "
        "export the model for this configuration",
    ]


def test_a_graph_that_declares_a_shape_it_cannot_give(source, repository):
    def double(model: onnx.ModelProto) -> None:
        model.graph.node[0].CopyFrom(helper.make_node("Concat", ["tokens", "tokens"], ["scores"], axis=1))

    edit_graph(source / "head", "head", repository, double, "2")
    assert "head: model.onnx: expected an ONNX graph, got: " in only_fault_of(source, repository)


def test_a_graph_with_a_fixed_batch(source, repository):
    def fix(model: onnx.ModelProto) -> None:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_value = 1

    edit_graph(source / "head", "head", repository, fix, "2")
    assert "input tokens: expected a free batch axis, the graph has [1]" in faults_of(source, repository)[0]


def test_a_graph_of_another_dtype(source, repository):
    graph = multiplying(*ENGINES["head"], np.ones(3, np.float32))
    for value in (graph.graph.input[0], graph.graph.output[0]):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    graph.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones(3), "factor"))
    put_graph(source, repository, graph, "head")
    assert "input tokens: expected FP32, the graph has DOUBLE" in faults_of(source, repository)[0]


def test_a_graph_whose_tensors_have_other_names(source, repository):
    put_graph(source, repository, multiplying("checked", "logits", np.ones(3, np.float32)))
    assert only_fault_of(source, repository) == (
        "encoder: model.onnx: expected the outputs tokens, the graph has logits; export the model again"
    )


def test_a_length_that_is_free_in_the_graph_fits_the_configuration(source, repository):
    graph = multiplying(*ENGINES["head"], np.ones(3, np.float32))
    for value in (graph.graph.input[0], graph.graph.output[0]):
        value.type.tensor_type.shape.dim[1].dim_param = "length"
    put_graph(source, repository, graph, "head")
    assert "head" in read_set(source, PIPELINE, repository, "cpu")


@pytest.mark.parametrize(("build", "name"), [(multiplying, "factor"), (branching, "inner")])
def test_nan_among_the_weights_is_named(source, repository, build, name):
    put_graph(source, repository, build("checked", "tokens", np.array([1, np.nan, 3], np.float32)))
    assert faults_of(source, repository)[0] == (
        f"encoder: model.onnx: expected finite weights, {name} has 1 NaN among 3; "
        "train or convert the weights again"
    )


def test_nan_among_weights_that_lie_beside_the_graph_is_named(source, repository):
    factor = np.array([1, np.nan, 3], np.float32)
    onnx.save(
        multiplying("checked", "tokens", factor),
        source / "encoder" / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    describe(source / "encoder", "encoder", repository, weights="2")
    assert "factor has 1 NaN among 3" in only_fault_of(source, repository)


def test_weights_beside_the_graph_belong_into_the_manifest(source, repository):
    onnx.save(
        multiplying("checked", "tokens", np.ones(3, np.float32)),
        source / "encoder" / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (source / "encoder" / "weights.bin").rename(source / "weights.bin")
    describe(source / "encoder", "encoder", repository, weights="2")
    assert "expected its weights weights.bin in the manifest too" in only_fault_of(source, repository)


def test_minus_infinity_is_what_masks_are_made_of(source, repository):
    put_graph(source, repository, multiplying("checked", "tokens", np.array([1, -np.inf, 3], np.float32)))
    assert "encoder" in read_set(source, PIPELINE, repository, "cpu")


def test_classes_in_another_order_are_told_by_place(source, repository):
    edit_manifest(source / "head", class_names=["porous", "good", "burnt"])
    assert only_fault_of(source, repository) == (
        "head: expected the classes in the order of inspection: 0 good, 1 porous; got 0 porous, 1 good: "
        "its answers would carry the wrong labels; export it with the labels in that order"
    )


def test_other_classes_are_named(source, repository):
    edit_manifest(source / "head", class_names=["good", "porous", "warped"])
    assert only_fault_of(source, repository) == (
        "head: expected the 3 classes of inspection, got 3 (missing: burnt; unknown: warped); "
        "train and export it for these classes"
    )


def test_the_right_classes_are_no_fault(source, repository):
    edit_manifest(source / "head", class_names=["good", "porous", "burnt"])
    assert "head" in read_set(source, PIPELINE, repository, "cpu")


def test_engines_from_different_weights_are_no_set(source, repository):
    write_engine(source / "encoder", "encoder", 3.0, repository)
    assert only_fault_of(source, repository) == (
        "set: expected engines made from the same weights, got encoder from 3; head from 2; export them "
        "together, or release them one at a time if that is meant"
    )


def test_every_fault_is_told_at_once(source, repository):
    (source / "encoder" / "model.onnx").unlink()
    edit_manifest(source / "head", class_names=["good"])
    (source / "haed").mkdir()
    assert [fault.split(":")[0] for fault in faults_of(source, repository)] == ["haed", "encoder", "head"]
