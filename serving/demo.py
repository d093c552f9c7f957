"""The demo: every command a newcomer would type, run one after another, each shown before it runs.

    python -m serving.demo        (or `make demo`)

Writes a good and a defective weld run, exports, asks a server with all modalities and with two of them
missing; then writes one film in many qualities, asks for the best and the worst of them; then asks about a
shape that no training has seen. It draws pictures, and stops the server, also after Ctrl-C or a failure.
"""

from __future__ import annotations

import csv
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = Path("build/demo")
CLASSES = ("Good", "Undercut")
PRESETS = ("weld_small", "video_quality_small", "vision_language_small", "visual_question_answering_small")
CONTENT = "leaves 33"  # a procedural one: a single source, and no training has seen it
PYTHON = sys.executable
CROSSFUSE = str(Path(PYTHON).with_name("crossfuse"))


class StepFailed(Exception):
    """A command of the demo ended with something other than 0."""


def say(text: str) -> None:
    """Print at once: the commands write to the same terminal."""
    print(text, flush=True)


def run(*command: str) -> str:
    """Show a command as one would type it, run it, show what it printed on stdout, return that."""
    shown = shlex.join(["crossfuse" if command[0] == CROSSFUSE else "python", *command[1:]])
    say(f"\n$ {shown}")
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    say(done.stdout.rstrip())
    if done.returncode:
        raise StepFailed(f"`{shown}` ended with {done.returncode}; its message stands above")
    return done.stdout.strip()


@contextmanager
def server() -> Iterator[str]:
    """A server of our own on free ports, so that the demo never disturbs one that is running."""
    state = ("--state", str(PLACE / "serving"))
    try:
        yield run(PYTHON, "-m", "serving", "start", "--port", "0", *state).splitlines()[-1]
    finally:
        run(PYTHON, "-m", "serving", "stop", *state)


def files_of(weld: Path) -> dict[str, list[str]]:
    """Command line options of `crossfuse infer` for one weld folder."""
    return {
        "--video": [str(weld / f"{weld.name}.avi")],
        "--image": [str(photo.relative_to(ROOT)) for photo in sorted((ROOT / weld / "images").glob("*.jpg"))],
        "--audio": [str(weld / f"{weld.name}.flac")],
        "--sensors": [str(weld / f"{weld.name}.csv")],
    }


def ask(url: str, weld: Path, leave_out: tuple[str, ...] = ()) -> None:
    """One request made of one weld's files, answered on the screen and in a picture."""
    options = {key: values for key, values in files_of(weld).items() if key not in leave_out}
    words = [word for key, values in options.items() for word in (key, *values)]
    picture = PLACE / f"{weld.name}{'_two_missing' if leave_out else ''}.png"
    run(CROSSFUSE, "infer", "weld_inspection", *words, "--url", url, "--picture", str(picture))


def best_and_worst(clips: Path) -> tuple[Path, Path]:
    """The clips that a folder's manifest scores highest and lowest."""
    with (ROOT / clips / "manifest.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: float(row["score"]))
    return clips / rows[-1]["file"], clips / rows[0]["file"]


def ask_quality(url: str, clip: Path) -> None:
    """The quality of one film, on the screen and in a picture."""
    picture = PLACE / f"{clip.stem}.png"
    run(CROSSFUSE, "infer", "video_quality", "--video", str(clip), "--url", url, "--picture", str(picture))


def picture_and_question(folder: Path) -> tuple[Path, str]:
    """The first picture of easy-VQA's test split, copied into a folder, and the first question about it."""
    from training.easy_vqa import load_split

    asked = load_split("test")
    picture = folder / "shape.png"
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(asked.pictures[0], ROOT / picture)
    return picture, asked.questions[asked.rows.tolist().index(0)]


def ask_about(url: str, pipeline: str, image: Path, option: str, text: str) -> None:
    """One image and words about it, on the screen and in a picture."""
    picture = PLACE / f"{pipeline}.png"
    words = ("--image", str(image), option, text, "--url", url, "--picture", str(picture))
    run(CROSSFUSE, "infer", pipeline, *words)


def demo() -> None:
    """Run the whole demo; raises StepFailed with the command that failed."""
    welds, clips = write_welds(PLACE / "runs"), write_clips(PLACE / "clips")
    shape, question = picture_and_question(PLACE / "shapes")
    for preset in PRESETS:
        run(PYTHON, "-m", "export", preset)
    with server() as url:
        for weld in welds:
            ask(url, weld)
        ask(url, welds[-1], leave_out=("--image", "--audio"))
        for clip in best_and_worst(clips):
            ask_quality(url, clip)
        ask_about(url, "vision_language", shape, "--text", question)
        ask_about(url, "visual_question_answering", shape, "--question", question)


def write_welds(runs: Path) -> list[Path]:
    """One weld of each class; returns their folders."""
    if not (ROOT / runs / "manifest.csv").exists():
        one_each = ("--runs-per-class", "1", "--seed", "7")
        run(PYTHON, "-m", "training", "generate", str(runs), *one_each, "--classes", *CLASSES)
    return sorted(path.parent.relative_to(ROOT) for path in (ROOT / runs).glob("*/*/*.avi"))


def write_clips(clips: Path) -> Path:
    """One content under every distortion, each scored against its source; returns their folder."""
    if not (ROOT / clips / "manifest.csv").exists():
        one_each = ("--levels", "1", "--mixed", "0", "--seed", "7")
        run(PYTHON, "-m", "training", "clips", str(clips), "--contents", CONTENT, *one_each)
    return clips


def main() -> int:
    """Exit status: 0 done, 1 a step failed, 130 interrupted."""
    started = time.monotonic()
    try:
        demo()
    except StepFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; the server was stopped", file=sys.stderr)
        return 130
    pictures = sorted(str(path.relative_to(ROOT)) for path in (ROOT / PLACE).glob("*.png"))
    say(f"\nDone in {time.monotonic() - started:.0f} s. Pictures:")
    say("\n".join(pictures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
