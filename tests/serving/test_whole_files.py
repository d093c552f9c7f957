"""A file is there whole or not at all."""

import pytest

from serving import whole_files


def test_a_file_takes_the_place_of_the_old_one_in_a_folder_that_is_made(tmp_path):
    path = tmp_path / "engines" / "plan"
    whole_files.write(path, b"old")
    with path.open("rb") as reader:
        whole_files.write(path, b"another")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"another"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path):
    (tmp_path / "plan").mkdir()
    with pytest.raises(OSError, match="plan"):
        whole_files.write(tmp_path / "plan", b"content")
    assert [file.name for file in tmp_path.iterdir()] == ["plan"]
