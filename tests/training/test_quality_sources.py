"""Where the good clips come from."""

import shutil
import subprocess

import numpy as np
import pytest

from training.quality_clips import shipped, sources
from training.quality_clips.shipped import DebianFile, PythonFile, fetch


def test_contents_lie_on_one_side_of_the_split_and_every_source_has_a_name_of_its_own() -> None:
    built_in = sources.packaged()
    names, contents = [source.name for source in built_in], {source.content for source in built_in}
    assert len(names) == len(set(names))
    assert not set(sources.CHOOSE) & set(sources.HELD_OUT)
    assert set(sources.CHOOSE) | set(sources.HELD_OUT) <= contents


def test_a_flight_over_a_photo_is_the_same_every_time() -> None:
    (first, again) = (next(s for s in sources.packaged() if s.name == "coffee-0").film() for _ in range(2))
    assert first.shape[0] == 32
    assert np.array_equal(first, again)


def test_a_file_that_its_python_package_lacks_is_one_sentence() -> None:
    with pytest.raises(FileNotFoundError, match=r"expected data/no\.png of the package skimage, found none"):
        PythonFile("skimage", "data/no.png").path()


@pytest.fixture
def nothing_unpacked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return DebianFile("crossfuse-no-such-package", "pictures/meadow.jpg")


def test_a_debian_file_that_cannot_be_had_is_said_with_what_to_type(nothing_unpacked) -> None:
    with pytest.raises(
        FileNotFoundError, match="`apt-get download crossfuse-no-such-package` and `dpkg-deb -x"
    ):
        fetch([nothing_unpacked])


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no Debian: dpkg-deb is what unpacks such packages")
def test_a_debian_package_is_unpacked_beside_the_training_and_read_from_there(
    nothing_unpacked, tmp_path, monkeypatch
) -> None:
    """Downloading is apt's; here the package is made on the spot and lies where apt would have put it."""
    tree = tmp_path / "tree"
    (tree / "usr/share/pictures").mkdir(parents=True)
    (tree / "usr/share/pictures/meadow.jpg").write_bytes(b"green")
    (tree / "DEBIAN").mkdir()
    control = "Package: crossfuse-no-such-package\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\n"
    (tree / "DEBIAN/control").write_text(control + "Description: one picture\n")
    package = tmp_path / "it.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(package)], check=True, capture_output=True)
    run = subprocess.run

    def instead_of_apt(command, **settings):
        if command[0] == "apt-get":
            command = ["cp", str(package), str(settings["cwd"])]
        return run(command, **settings)

    monkeypatch.setattr(shipped.subprocess, "run", instead_of_apt)
    fetch([nothing_unpacked])
    assert nothing_unpacked.path().read_bytes() == b"green"
