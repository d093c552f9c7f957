"""python -m serving.health: exit 0 when every pipeline of the server that runs here answers as ready.

What a container's health check calls every few seconds: nothing but the standard library, no gRPC. The own
/v2/health/ready of the server is not enough: it is ready before it has loaded anything
(`--strict-readiness=false`, so that a release that does not load takes nothing out of service).
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

STATE = Path(__file__).resolve().parents[1] / "build" / "serving"
TIMEOUT_S = 3.0
ANYWHERE = ("0.0.0.0", "::")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serving.health", description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE, metavar="FOLDER", help="of `serving start`")
    fault = unready(parser.parse_args(words).state)
    if fault:
        sys.stderr.write(f"serving: {fault}\n")
    return 1 if fault else 0


def unready(folder: Path) -> str:
    """Why the server of a state folder is not ready, in a sentence; empty when it is."""
    try:
        state = json.loads((folder / "state.json").read_text())
    except FileNotFoundError:
        return f"{folder}: expected the state of a server, found none; it has not started yet"
    if state["phase"] != "ready":
        return f"expected a server that is ready, it is {state['phase']} {state['error']}".strip()
    host = "127.0.0.1" if state["host"] in ANYWHERE else state["host"]
    for pipeline in state["pipelines"]:
        url = f"http://{host}:{state['ports']['http']}/v2/models/{pipeline}/ready"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S):
                continue
        except OSError as error:  # what urllib raises is one
            return f"{pipeline}: expected {url} to say ready, got: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
