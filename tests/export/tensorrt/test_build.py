"""What the real builder of TensorRT for RTX makes of small graphs, without a GPU."""

from dataclasses import replace

import onnx
import pytest

from export import onnx_files
from export.contract import Tensor
from export.precision import conversion
from export.tensorrt import OPTIONS, Options, build, import_tensorrt, package, progress, summary
from export.tensorrt.build import require_gpu
from export.tensorrt.device import Device

ADA = Device("NVIDIA RTX 4090", "580.1", "8.9", 24564)


def test_a_plan_is_built_for_every_profile_and_says_what_is_in_it(product, two_profiles):
    built = build(product, two_profiles)
    assert len(built.plan) > 1000
    told = built.summary
    assert (told["package"], told["precision"], told["bytes"]) == ("tensorrt_rtx", "fp32", len(built.plan))
    assert [profile["batch"] for profile in told["profiles"]] == [
        {"minimum": 1, "optimum": 1, "maximum": 1},
        {"minimum": 1, "optimum": 4, "maximum": 8},
    ]
    assert told["network"]["kinds"]["MATRIX_MULTIPLY"] == told["network"]["kinds"]["SOFTMAX"] == 1
    assert told["network"]["inputs"] == [{"name": "rows", "type": "FLOAT", "shape": [-1, 8]}]
    assert told["device"] == "SM86, SM89, SM120" or told["device"].startswith("NVIDIA")
    assert "batches 1-1-1, 1-4-8" in summary.text(told)


def test_a_plan_for_one_gpu_is_smaller_news_than_one_for_all(product, contract):
    one, several = build(product, contract, device=ADA), build(product, contract)
    assert one.summary["device"] == "NVIDIA RTX 4090, driver 580.1"
    assert one.plan != several.plan


@pytest.mark.parametrize(("precision", "type_"), [("fp16", "HALF"), ("bf16", "BF16")])
def test_the_precision_is_that_of_the_graph(product, contract, precision, type_):
    low = product.with_name("low.onnx")
    onnx_files.save(conversion.lowered(onnx.load(product), precision), low)
    types = build(low, contract, precision=precision).summary["network"]["types"]
    assert types[type_] >= 1
    assert types["FLOAT"] >= 1, "the softmax stays in fp32, and so do input and output"


def test_a_graph_of_another_precision_than_promised_is_refused(product, contract):
    with pytest.raises(
        ValueError, match=r"small.onnx: expected a graph in bf16, got one whose layers compute FLOAT"
    ):
        build(product, contract, precision="bf16")
    with pytest.raises(ValueError, match="precision: expected one of fp32, bf16, fp16, int8, got fp8"):
        build(product, contract, precision="fp8")


def test_a_graph_of_another_model_is_refused(product, contract):
    other = replace(contract, inputs=(Tensor("pixels", "FP32", (8,)),))
    with pytest.raises(ValueError, match="expected the inputs pixels of small, got rows; export the model"):
        build(product, other)


@pytest.mark.parametrize(
    ("name", "asked"), [("refittable", "refit"), ("portable", "version_compatible, hardware_compatible")]
)
def test_plans_that_rtx_does_not_build_are_refused(product, contract, name, asked):
    with pytest.raises(
        ValueError, match=f"{asked}: expected none of it for TensorRT for RTX, .* --target gpu"
    ):
        build(product, contract, options=OPTIONS[name])


def test_an_option_changes_the_text_that_recipes_are_made_of():
    texts = {str(options) for options in OPTIONS.values()}
    assert len(texts) == len(OPTIONS)
    assert '"tf32": false' in str(Options())


def test_a_gpu_that_the_package_cannot_build_for_is_refused(product, contract):
    with pytest.raises(ValueError, match=r"capability: expected one of .*SM89.*, got SM12"):
        build(product, contract, device=replace(ADA, compute_capability="1.2"))


def test_a_target_without_its_package_says_what_to_install(product, contract):
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        with pytest.raises(
            ModuleNotFoundError, match=r"gpu: expected the Python package tensorrt, .* --target rtx"
        ):
            build(product, contract, target="gpu")
    else:
        pytest.skip("tensorrt is installed here")


def test_a_target_that_times_kernels_needs_a_gpu():
    with pytest.raises(RuntimeError, match="gpu: expected an NVIDIA GPU that nvidia-smi lists, found none"):
        require_gpu("gpu", None)
    require_gpu("gpu", ADA)
    require_gpu("rtx", None)


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="target: expected one of gpu, rtx, got cpu"):
        import_tensorrt("cpu")


def test_a_first_build_leaves_what_it_measured_and_a_second_takes_it(product, contract, tmp_path):
    build(product, contract, cache_dir=tmp_path / "cache", device=ADA)
    (file,) = (tmp_path / "cache").iterdir()
    assert file.name.startswith("tensorrt-rtx-1.")
    assert file.name.endswith("NVIDIA-RTX-4090-driver-580.1.timing")
    content = file.read_bytes()
    build(product, contract, cache_dir=tmp_path / "cache", device=ADA)
    assert file.read_bytes()[32:] == content[32:]


@pytest.mark.parametrize("broken", [b"", b"no cache", b"\0" * 300])
def test_a_broken_timing_cache_is_replaced(product, contract, tmp_path, broken):
    cache = tmp_path / "cache"
    build(product, contract, cache_dir=cache, device=ADA)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(broken)
    build(product, contract, cache_dir=cache, device=ADA)
    assert file.read_bytes() == whole
    assert list(cache.iterdir()) == [file]


def test_another_gpu_or_version_has_a_file_of_its_own(product, contract, tmp_path):
    cache = tmp_path / "cache"
    older = cache / "tensorrt-rtx-1.0.0_NVIDIA-RTX-4090-driver-580.1.timing"
    cache.mkdir()
    older.write_bytes(b"of an older version")
    build(product, contract, cache_dir=cache, device=ADA)
    build(product, contract, cache_dir=cache, device=replace(ADA, driver="590.2"))
    assert len(list(cache.iterdir())) == 3
    assert older.read_bytes() == b"of an older version"


def test_the_builder_reports_its_phases(product, contract, capsys):
    trt = import_tensorrt("rtx")
    bars = progress.monitor(trt, "small", shown=True)
    bars.phase_start("Building", None, 2)
    bars.phase_start("Parts of it", "Building", 5)
    assert bars.step_complete("Building", 0) is bars.step_complete("Parts of it", 1) is True
    bars.phase_finish("Parts of it")
    bars.phase_finish("Building")
    assert "small: Building" in capsys.readouterr().err
    assert progress.monitor(trt, "small", shown=False) is None


def test_what_tensorrt_complains_about_is_gathered_and_not_printed(product, contract, capfd):
    gathered = package.logger(import_tensorrt("rtx")).messages  # of the whole process, other tests included
    before = list(gathered)
    build(product, contract)
    assert capfd.readouterr() == ("", "")
    assert gathered == before
