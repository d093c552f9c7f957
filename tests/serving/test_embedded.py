"""The installation that is laid out from the wheel."""

import os
from pathlib import Path

import pytest

from serving import embedded


@pytest.fixture
def backends(tmp_path: Path) -> Path:
    folder = tmp_path / "backends"
    (folder / "echo").mkdir(parents=True)
    (folder / "echo" / "model.py").touch()
    (folder / "notes").mkdir()  # no model.py: not a backend
    return folder


def test_the_installation_holds_the_python_backend_and_a_link_to_each_of_ours(tmp_path, backends):
    installation = embedded.install(tmp_path / "cache", backends)
    found = sorted(
        path.relative_to(installation.backend_directory) for path in installation.backend_directory.rglob("*")
    )
    assert [str(path) for path in found] == [
        "echo",
        "python",
        "python/libtriton_python.so",
        "python/triton_python_backend_stub",
        "python/triton_python_backend_utils.py",
    ]
    assert (installation.backend_directory / "echo").resolve() == backends / "echo"
    assert os.access(installation.tritonserver, os.X_OK)


def test_triton_refuses_a_linked_python_backend_so_it_is_copied(tmp_path, backends):
    python = embedded.install(tmp_path / "cache", backends).backend_directory / "python"
    assert not any(path.is_symlink() for path in (python, *python.iterdir()))


def test_the_second_install_writes_nothing(tmp_path, backends):
    first = embedded.install(tmp_path / "cache", backends)
    before = {path: path.stat().st_mtime_ns for path in first.backend_directory.rglob("*")}
    assert embedded.install(tmp_path / "cache", backends) == first
    assert {path: path.stat().st_mtime_ns for path in first.backend_directory.rglob("*")} == before


def test_two_clones_do_not_share_an_installation(tmp_path, backends):
    clone = tmp_path / "clone"
    (clone / "echo").mkdir(parents=True)
    (clone / "echo" / "model.py").touch()
    cache = tmp_path / "cache"
    one, other = (embedded.install(cache, folder).backend_directory for folder in (backends, clone))
    assert one != other
    assert (one / "echo").resolve() != (other / "echo").resolve()


def test_a_damaged_installation_is_laid_out_again(tmp_path, backends):
    first = embedded.install(tmp_path / "cache", backends)
    (first.backend_directory / "python" / embedded.STUB).unlink()
    again = embedded.install(tmp_path / "cache", backends)
    assert (again.backend_directory / "python" / embedded.STUB).exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [again.backend_directory.name]


def test_what_a_killed_install_left_is_neither_used_nor_kept(tmp_path, backends):
    name = embedded.install(tmp_path / "elsewhere", backends).backend_directory.name
    leftover = tmp_path / "cache" / f"{name}.partial-killed"
    leftover.mkdir(parents=True)
    os.utime(leftover, (0, 0))
    installation = embedded.install(tmp_path / "cache", backends)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [installation.backend_directory.name]


def test_the_environment_puts_this_python_and_its_library_first(tmp_path, backends):
    environment = embedded.install(tmp_path / "cache", backends).environment
    assert (Path(environment["PATH"].split(os.pathsep)[0]) / "python3").exists()
    own, bundled = environment["LD_LIBRARY_PATH"].split(os.pathsep)
    assert list(Path(own).glob("libpython3*.so*"))
    assert list(Path(bundled).glob("libtritonserver*.so"))


def test_a_platform_without_the_binary_is_refused():
    with pytest.raises(RuntimeError, match="expected linux on x86_64, got darwin on arm64"):
        embedded.check_platform("darwin", "arm64")


def test_numpy_2_is_refused_because_outputs_would_be_empty():
    with pytest.raises(
        RuntimeError, match=r"expected a version below 2, got 2\.4\.6.*empty outputs; pip install"
    ):
        embedded.check_numpy("2.4.6")


def test_a_python_without_its_shared_library_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match=r"expected the shared library libpython3.*found none; install it"):
        embedded.python_library_folder([str(tmp_path), None])


def test_a_package_that_is_not_installed_is_named_with_its_remedy():
    with pytest.raises(
        RuntimeError, match=r"no-such-wheel: expected it in .*, not installed; pip install it"
    ):
        embedded.installed_version("no-such-wheel", "pip install it")
