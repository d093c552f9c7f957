"""Results as the verbs write them, with numbers that can be checked by eye."""

import json


def spread(value, least=None, most=None):
    return {"median": value, "min": value if least is None else least, "max": value if most is None else most}


def facts(command, **more):
    return {
        "command": f"python -m benchmarks {command}",
        "commit": "abc1234",
        "clean": True,
        "time": "2026-11-22T10:00:00+00:00",
        "machine": {"processor": "A <fast> & small one", "cores": 2, "system": "Linux"},
        "load_before": 0.1,
        "versions": {"python": "3.11.7", "numpy": "1.26.4"},
        "seed": 7,
        **more,
    }


def point(share, goodput, p99, rejected=0, told=None):
    return {
        "share": share,
        "offered_hz": spread(20.0 * share),
        "goodput_hz": spread(goodput),
        "slo_attained": spread(min(1.0, goodput / (20.0 * share))),
        "latency_ms": {
            "p50": spread(p99 / 4),
            "p95": spread(p99 / 2),
            "p99": spread(p99),
            "max": spread(2 * p99),
        },
        "rejected": rejected,
        "slowest_rejection_ms": told,
    }


RESULTS = {
    "goodput": ("goodput", {"goodput_hz": spread(20.0, 19.0, 21.0), "slo_ms": 500.0, "void": False}),
    "curve": (
        "curve",
        {
            "slo_ms": 500.0,
            "points": [
                point(0.5, 10.0, 100.0),
                point(0.8, 16.0, 160.0),
                point(0.95, 19.0, 400.0),
                point(1.1, 20.0, 900.0, 3, 30.0),
                point(1.5, 17.0, 2000.0, 40, 70.0),
            ],
        },
    ),
    "floor": (
        "floor",
        {
            "floor_hz": spread(25.0),
            "served_hz": spread(23.0),
            "efficiency": spread(0.92, 0.9, 0.93),
            "lone_floor_ms": spread(40.0),
            "lone_served_ms": spread(46.0),
            "machine": {"share_of_gemm": {"fp32": 0.31}},
        },
    ),
    "absent": (
        "absent",
        {
            "modalities": {"video": {"ratio": spread(0.9)}, "image": {"ratio": spread(0.8)}},
            "batches": {"mean": {"uniform": 4.0, "mixed": 3.8}, "ratio": 0.95},
        },
    ),
    "corrupt": (
        "corrupt",
        {"harm": {"innocent": 900, "innocent_failed": 0, "innocent_wrong": 0}, "ratio": spread(0.99)},
    ),
    "peers": (
        "peers",
        {
            "servers": [
                {"name": "FastAPI", "engine": "torch", "goodput_hz": spread(5.0)},
                {
                    "name": "LitServe",
                    "engine": "same-engines",
                    "goodput_hz": spread(16.0, 15.0, 17.0),
                    "version": "0.2",
                    "workers": 1,
                    "threads": 2,
                    "at_once_hz": spread(45.0),
                    "processor_ms": spread(38.0),
                    "memory_mib": {"pss": 800.0},
                },
                {"name": "crossfuse", "engine": "", "goodput_hz": spread(20.0, 19.0, 21.0)},
            ]
        },
    ),
    "stages": (
        "stages",
        {
            "latency_ms": {"p50": 40.0},
            "stages": {
                "weld_gate": {
                    "queue": 0.5,
                    "compute_input": 0.5,
                    "compute_infer": 1.0,
                    "compute_output": 0.0,
                },
                "weld_<small>": {
                    "queue": 2.0,
                    "compute_input": 1.0,
                    "compute_infer": 16.0,
                    "compute_output": 1.0,
                },
            },
        },
    ),
    "swap": (
        "swap --naive",
        {
            "requests": 1000,
            "errors": 0,
            "mixtures": 0,
            "steady": {"latency_ms": {"p99": 200.0}},
            "changes": {
                "latency_ms": {"max": 230.0},
                "flip": {"whole_ms": {"median": 29.0}},
                "rollback": {"whole_ms": {"median": 31.0}},
            },
            "one_by_one": {"mixed_share_in_windows": 0.66},
        },
    ),
    "offline": ("offline", {"throughput_hz": spread(24.0), "mean_batch": {"weld_small_fusion": 4.0}}),
    "coldstart": (
        "coldstart",
        {"ready_s": spread(6.0), "first_answer_s": spread(6.5), "pss_mib": {"ready": spread(900.0)}},
    ),
    "accuracy": (
        "accuracy vision_language",
        {
            "pipeline": "vision_language",
            "data": "easy-vqa",
            "server": {"accuracy": 0.9989},
            "pytorch": {"accuracy": 0.9989},
        },
    ),
    "load": (
        "load --headless",
        {
            "rows": [
                {
                    "pipeline": "weld_inspection",
                    "sent": "image",
                    "requests": 9,
                    "failures": 0,
                    "latency_ms": {"p50": 20.0, "p95": 30.0, "p99": 31.0},
                }
            ]
        },
    ),
}


def write(folder, name, **more):
    """One of RESULTS as a file, with other facts where they are given."""
    command, result = RESULTS[name]
    path = folder / f"{name}_{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps(facts(command, **more) | {"result": result}))
    return path


def write_all(folder):
    for name in RESULTS:
        write(folder, name)
    return folder
