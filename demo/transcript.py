"""The part of the demo that the README shows.

Ports, and the times of a run, are replaced by fixed ones, so that the same demo gives
the same transcript; a test compares it with the README.
"""

import re
import sys
from pathlib import Path

_BEGIN, _END = "<!-- transcript: begin -->", "<!-- transcript: end -->"
_SCENES = ("5. ", "6. ", "13. ")
_TIME = re.compile(r"(→\s+'?)?\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+00:00)")
_NOW, _LATER = "2026-11-23T07:00:00", "2026-11-23T07:01:00"


def transcript(output: str) -> str:
    """The scenes for the README, as a Markdown block between its two markers."""
    scenes = re.split(r"\n(?=\d+\. )", output)
    shown = [scene for scene in scenes if scene.startswith(_SCENES)]
    if len(shown) != len(_SCENES):
        message = (
            f"expected the output of python -m demo; found {len(shown)} of its scenes"
        )
        raise SystemExit(message)
    text = "\n".join("\n".join(_lines(scene)) for scene in shown)
    return f"{_BEGIN}\n{text}\n{_END}"


def _lines(scene: str) -> list[str]:
    """A scene's heading as text, and its commands and their output as a block."""
    heading, _, rest = scene.partition("\n")
    rest = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8443", rest)
    rest = re.sub(r"--port \d+", "--port 8443", rest)
    rest = re.sub(r"(?m)^    sha256 .*\n", "", steady(rest))
    body = [line.rstrip() for line in rest.strip("\n").splitlines()]
    return [heading.partition(". ")[2], "", "```console", *body, "```", ""]


def steady(text: str) -> str:
    """A text with fixed times: all the same, and after an arrow a minute later."""
    return _TIME.sub(
        lambda one: f"{one[1] or ''}{_LATER if one[1] else _NOW}{one[2]}", text
    )


def put(readme: str, output: str) -> str:
    """The README with the transcript of `output`."""
    before, _, rest = readme.partition(_BEGIN)
    after = rest.partition(_END)[2]
    return before + transcript(output) + after


if __name__ == "__main__":
    # Reads the demo's output: python -m demo | python -m demo.transcript
    path = Path("README.md")
    path.write_text(put(path.read_text(), sys.stdin.read()))
