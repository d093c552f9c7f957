import pytest

from export.publish import publish, staging


@pytest.fixture
def repository(tmp_path):
    repository = tmp_path / "models"
    (repository / "nose" / "1").mkdir(parents=True)
    return repository


def test_staging_lies_outside_every_models_folder_and_is_gone_afterwards(repository):
    with staging(repository, "nose") as folder:
        (folder / "model.onnx").write_bytes(b"half")
        assert repository not in folder.parents
        assert [path.name for path in repository.rglob("*")] == ["nose", "1"]
    assert not folder.exists()


def test_staging_is_gone_after_a_failure_too(repository):
    with pytest.raises(RuntimeError, match="half way"), staging(repository, "nose") as folder:
        (folder / "model.onnx").write_bytes(b"half")
        raise RuntimeError("half way")
    assert not folder.exists()
    assert list((repository / "nose" / "1").iterdir()) == []


def test_a_file_appears_by_renaming_so_never_in_part(repository):
    version = repository / "nose" / "1"
    with staging(repository, "nose") as folder:
        file = folder / "model.onnx"
        file.write_bytes(b"whole")
        written = file.stat().st_ino
        assert publish([file], version) == [version / "model.onnx"]
    assert (version / "model.onnx").stat().st_ino == written
    assert (version / "model.onnx").read_bytes() == b"whole"


def test_a_reader_of_the_old_file_keeps_the_old_bytes(repository, tmp_path):
    version = repository / "nose" / "1"
    (version / "model.onnx").write_bytes(b"old")
    new = tmp_path / "model.onnx"
    new.write_bytes(b"new")
    with (version / "model.onnx").open("rb") as reader:
        publish([new], version)
        assert reader.read() == b"old"
    assert (version / "model.onnx").read_bytes() == b"new"


def test_a_new_version_folder_is_made(repository, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"new")
    publish([tmp_path / "model.onnx"], repository / "nose" / "2")
    assert (repository / "nose" / "2" / "model.onnx").exists()
