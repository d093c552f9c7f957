"""Releases: a whole set of engines goes live at once, proven first, and comes back in milliseconds.

    python -m serving release run      weld_inspection --from FOLDER --why "retrained on November's welds"

which is these four, each of which can be repeated:

    python -m serving release prepare  weld_inspection --from FOLDER
    python -m serving release check    weld_inspection
    python -m serving release flip     weld_inspection
    python -m serving release watch    weld_inspection

and at any time:

    python -m serving release status | log | rollback | restore | retire  weld_inspection

Progress and what comes next go to stderr, the result to stdout. Exit status: 0 done; 1 failed, rejected,
rolled back, or somebody else is at work; 2 mistyped; 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from serving import control, state
from serving.releases import options
from serving.releases.display import Lines
from serving.releases.overview import log_text, next_step, status_text
from serving.releases.sequence import GOLDEN, Releases

STEPS = ("prepare", "check", "switch", "watch")
Verb = Callable[[Releases, argparse.Namespace], int]


def add_to(verbs: Any) -> None:
    """Add `release` and its verbs to the command line of `python -m serving`."""
    summary = "put a whole set of engines live at once: prepare, check, flip, watch, rollback, retire ..."
    release = verbs.add_parser(
        "release",
        help=summary,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = release.add_subparsers(required=True, metavar="VERB", title="verbs")
    for name, (step, explanation, own) in VERBS.items():
        command = steps.add_parser(name, help=explanation, description=explanation)
        command.set_defaults(verb=run_verb, step=step)
        command.add_argument("pipeline", metavar="PIPELINE", help="an ensemble such as weld_inspection")
        for option in own:
            option(command)
        options.where(command)


def run_verb(typed: argparse.Namespace) -> int:
    """Run one verb; the exit status."""
    try:
        if typed.step not in (status, log):
            import_steps()
        return typed.step(connect(typed), typed)
    except (RuntimeError, ValueError, LookupError, OSError) as error:
        text = str(error.args[0] if isinstance(error, LookupError) and error.args else error)
        print(text if text.startswith("release") else f"release: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "release: interrupted; the next step undoes what was under way, "
            f"`python -m serving release status {typed.pipeline}` shows what is live",
            file=sys.stderr,
        )
        return 130


def import_steps() -> None:
    """Import what the steps need, deaf to Ctrl-C: it would leave half of numpy and a traceback behind."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for module in ("onnx", "tritonclient.grpc", *(f"serving.releases.{one}" for one in STEPS)):
            importlib.import_module(module)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def connect(typed: argparse.Namespace) -> Releases:
    """The releases that the options mean; ValueError for a pipeline or a repository that cannot be."""
    ours = control.address(typed.state)
    served = Path(ours.state().repository) if ours else None
    is_ours = ours is not None and typed.url in (None, ours.grpc)
    repository = (typed.repository or (served if is_ours else None) or control.REPOSITORY).resolve()
    if is_ours and repository != served:
        raise ValueError(
            f"{repository}: expected the repository of the server that runs, {served}; "
            "say which server reads it with --url HOST:PORT, or leave --repository out"
        )
    refuse_unknown(repository, typed.pipeline)
    return Releases(
        typed.pipeline,
        repository,
        url=typed.url or (ours.grpc if ours else ""),
        target=typed.target or "",
        metrics_url=typed.metrics or (ours.metrics if ours and is_ours else None),
        golden=getattr(typed, "golden", GOLDEN).resolve(),
        by=typed.by,
        embedded=is_ours or not typed.url,
        display=Lines(),
    )


def refuse_unknown(repository: Path, pipeline: str) -> None:
    """ValueError for a repository without models, or a pipeline that is not an ensemble of it."""
    configs = {path.parent.name: path.read_text() for path in repository.glob("*/config.pbtxt")}
    pipelines = sorted(name for name, text in configs.items() if 'platform: "ensemble"' in text)
    if pipeline not in pipelines:
        close = difflib.get_close_matches(pipeline, pipelines, n=1)
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(pipelines) or 'none'}"
        raise ValueError(f"{pipeline}: expected a pipeline of {repository}, got another name; {hint}")


def prepare(releases: Releases, typed: argparse.Namespace) -> int:
    """Bring a set into the repository; prints its number."""
    print(releases.prepare(typed.source, typed.why).number)
    return say_next(releases, typed)


def check(releases: Releases, typed: argparse.Namespace) -> int:
    """Compare with the live one; prints the path of the report."""
    release = releases.check(typed.number)
    verdict = release.check
    if verdict is None:
        raise RuntimeError(f"release {release.number}: expected a verdict, got none; check again")
    for fault in verdict.faults:
        print(f"  {fault}", file=sys.stderr)
    print(releases.repository / verdict.report)
    say_next(releases, typed)
    return 0 if verdict.passed else 1


def flip(releases: Releases, typed: argparse.Namespace) -> int:
    """Make a release live; prints its number."""
    done = releases.flip(typed.number, why=typed.why, force=typed.force, baseline_s=typed.baseline_s)
    print(done.record.active)
    return say_next(releases, typed)


def watch(releases: Releases, typed: argparse.Namespace) -> int:
    """Watch the live release; prints the number of the one that is live at the end."""
    done = releases.watch(typed.seconds)
    print(done.record.active)
    say_next(releases, typed)
    return 0 if done.passed else 1


def rollback(releases: Releases, typed: argparse.Namespace) -> int:
    """Go back; prints the number of the release that is live then."""
    print(releases.rollback(typed.why).record.active)
    return say_next(releases, typed)


def retire(releases: Releases, typed: argparse.Namespace) -> int:
    """Unload what nobody needs; prints the numbers, one a line."""
    for number in releases.retire(typed.numbers, delete=typed.delete):
        print(number)
    return say_next(releases, typed)


def restore(releases: Releases, typed: argparse.Namespace) -> int:
    """Make the server serve the active release; prints its number where there is a record."""
    record = releases.restore()
    if record is not None:
        print(record.active)
    return say_next(releases, typed)


def status(releases: Releases, typed: argparse.Namespace) -> int:
    """Print a table of the releases, and what the server does."""
    now = releases.status()
    print(json.dumps(now.to_json(), indent=2) if typed.json else status_text(now))
    return say_next(releases, typed)


def log(releases: Releases, typed: argparse.Namespace) -> int:
    """Print the history, newest last."""
    history = releases.log()
    if typed.json:
        print(json.dumps([asdict(event) for event in history], indent=2))
    elif history:
        print(log_text(history))
    else:
        print(f"release: nothing was ever released of {releases.pipeline}", file=sys.stderr)
    return 0


def run(releases: Releases, typed: argparse.Namespace) -> int:
    """Prepare, check, flip and watch; prints the number of the release that is live then."""
    releases.run(
        typed.source, why=typed.why, force=typed.force, baseline_s=typed.baseline_s, seconds=typed.seconds
    )
    record = releases.store.read(releases.pipeline)
    print(record.active if record else "")
    return say_next(releases, typed)


def say_next(releases: Releases, typed: argparse.Namespace) -> int:
    """Say what to type next, with the options of where that were typed; 0."""
    typed_too = {"--url": typed.url, "--repository": typed.repository, "--metrics": typed.metrics}
    if typed.state != state.STATE_FOLDER:
        typed_too["--state"] = typed.state
    where = " ".join(f"{name} {shlex.quote(str(value))}" for name, value in typed_too.items() if value)
    step = next_step(releases.pipeline, releases.store.read(releases.pipeline))
    print(f"next: python -m serving release {step} {where}".rstrip(), file=sys.stderr)
    return 0


# verb -> what it runs, its explanation, its options
VERBS: dict[str, tuple[Verb, str, tuple[Callable[[argparse.ArgumentParser], None], ...]]] = {
    "prepare": (prepare, "verify a set and bring it into the repository", (options.source, options.why)),
    "check": (check, "load a set beside the live one and compare them", (options.number, options.golden)),
    "flip": (flip, "make a set live at once", (options.number, options.baseline, options.why, options.force)),
    "watch": (
        watch,
        "compare with the period before the flip; go back on a breach",
        (options.watching, options.golden),
    ),
    "rollback": (rollback, "make the set before live again at once", (options.why,)),
    "retire": (retire, "unload, and if asked delete, what nobody needs", (options.numbers,)),
    "restore": (restore, "make the server answer from the set that is live by the record", ()),
    "status": (status, "what is live, by the record and really; what comes next", (options.as_json,)),
    "log": (log, "who did what when, and why", (options.as_json,)),
    "run": (
        run,
        "prepare, check, flip, watch",
        (options.source, options.golden, options.baseline, options.watching, options.why, options.force),
    ),
}
