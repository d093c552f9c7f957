"""Two resident sets have to fit: what is needed, what is free, what the refusal says."""

from pathlib import Path

import pytest

from serving.releases.room import MIB, Need, Room, gpu_free, measure, memory_free, metrics_page, need, refuse
from serving.releases.sets import Candidate

PAGE = """\
# TYPE nv_gpu_memory_total_bytes gauge
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 17000000000.000000
nv_gpu_memory_total_bytes{gpu_uuid="GPU-2"} 17000000000.000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 1000000000.000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 9000000000.000000
"""


def candidate(mib: int, engine_mib: int) -> Candidate:
    return Candidate("head", Path("head"), {}, "", mib * MIB, engine_mib * MIB, {})


def write_memory(proc: Path, groups: str, available_kib: int = 4 << 20) -> Path:
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(
        f"MemTotal:       8388608 kB\nMemAvailable:   {available_kib} kB\nCached: 1 kB\n"
    )
    (proc / "self" / "cgroup").write_text(groups)
    return proc


def write_group(folder: Path, names: tuple[str, str], limit: str, usage: int, cached: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"cache 5\n{cached}\n")


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2 = ("memory.max", "memory.current")


def test_an_engine_needs_its_files_on_disk_and_itself_twice_in_memory():
    needed = need([candidate(100, 40), candidate(200, 60)], "cpu")
    assert needed == Need(disk=(300 + 15 + 64) * MIB, memory=(200 + 240) * MIB, shm=16 * MIB, gpu=0)


def test_on_a_gpu_its_memory_is_asked_for():
    needed = need([candidate(100, 40)], "gpu")
    assert (needed.gpu, needed.memory, needed.shm) == (200 * MIB, 40 * MIB, 0)


def test_what_fits_is_not_refused():
    refuse(Need(disk=10, memory=10, shm=10, gpu=10), Room(disk=10, memory=10, shm=10, gpu=10))


def test_what_nobody_could_measure_is_not_refused():
    refuse(Need(disk=10, memory=10, shm=10, gpu=10), Room(disk=10))


def test_every_shortage_is_told_with_what_to_do():
    needed = Need(disk=500 * MIB, memory=300 * MIB, shm=16 * MIB, gpu=700 * MIB)
    with pytest.raises(RuntimeError) as refused:
        refuse(needed, Room(disk=100 * MIB, memory=200 * MIB, shm=8 * MIB, gpu=0))
    assert str(refused.value).splitlines() == [
        "disk: expected 500 MiB free for a second resident set, got 100 MiB; "
        "retire releases that nobody needs (`release retire --delete`), or use a larger disk",
        "memory: expected 300 MiB free for a second resident set, got 200 MiB; "
        "retire releases that nobody needs (`release retire`), or use a larger machine",
        "/dev/shm: expected 16 MiB free for a second resident set, got 8 MiB; "
        "retire releases that nobody needs (`release retire`), or give the container more (--shm-size=512m)",
        "GPU memory: expected 700 MiB free for a second resident set, got 0 MiB; "
        "retire releases that nobody needs (`release retire`), or use a larger GPU",
    ]


def test_without_control_groups_the_kernels_estimate_counts(tmp_path):
    assert memory_free(write_memory(tmp_path / "proc", ""), tmp_path / "cgroup") == 4 << 30


def test_a_control_group_of_version_2_above_ours_bounds_it(tmp_path):
    groups = tmp_path / "cgroup"
    write_group(groups / "pod", V2, str(2 << 30), 1 << 30, f"inactive_file {256 * MIB}")
    write_group(groups / "pod" / "box", V2, "max", 1 << 20, "inactive_file 0")
    (groups / "cgroup.controllers").write_text("cpu memory\n")
    proc = write_memory(tmp_path / "proc", "0::/pod/box\n")
    assert memory_free(proc, groups) == (1 << 30) + 256 * MIB


def test_a_control_group_of_version_1_bounds_it(tmp_path):
    groups = tmp_path / "cgroup"
    write_group(groups / "memory", V1, str(2**63 - 4096), 3 << 30, "total_inactive_file 0")
    write_group(groups / "memory" / "box", V1, str(2 << 30), 1 << 30, "total_inactive_file 4096")
    proc = write_memory(tmp_path / "proc", "9:name=systemd:/\n4:memory:/box\n0::/\n")
    assert memory_free(proc, groups) == (1 << 30) + 4096


def test_in_a_container_the_root_group_is_its_own(tmp_path):
    groups = tmp_path / "cgroup"
    write_group(groups, V2, str(1 << 30), 512 * MIB, "inactive_file 0")
    (groups / "cgroup.controllers").write_text("memory\n")
    proc = write_memory(tmp_path / "proc", "0::/docker/of/the/host\n")
    assert memory_free(proc, groups) == 512 * MIB


def test_a_system_that_tells_nothing_leaves_it_open(tmp_path):
    assert memory_free(tmp_path / "proc", tmp_path / "cgroup") is None


def test_the_fullest_gpu_counts():
    assert gpu_free(PAGE) == 8_000_000_000


def test_a_page_without_gpus_leaves_it_open():
    assert gpu_free("nv_inference_count 3\n") is None


def test_a_server_that_does_not_answer_leaves_it_open():
    assert gpu_free(metrics_page("http://127.0.0.1:9/metrics")) is None


def test_the_page_of_a_server_is_read(tmp_path):
    (tmp_path / "metrics").write_text(PAGE)
    room = measure(tmp_path, (tmp_path / "metrics").as_uri(), embedded=False)
    assert (room.gpu, room.shm) == (8_000_000_000, None)


def test_this_machine_has_some_room(tmp_path):
    room = measure(tmp_path)
    assert room.disk > 0
    assert room.memory is not None and room.memory > 0
