"""What commands say where few come: unusual reports, odd policies, other programs."""

import io
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from cli.conformance import answer_command
from cli.ladder import check_row, rows_of
from cli.output import Output
from cli.policy_edit import _length
from cli.policy_text import explain, lint
from cli.readiness import Ready
from cli.ready import _ask
from pcrlog.errors import TransportError, UsageError
from pcrlog.policy import Policy
from pcrlog.published import Build
from pcrlog.transport import Client
from pcrlog.verification.checks import Check
from tests.support.memory_log import MemoryLog
from tests.support.scene import GOOD, W1, W2, Scene

ROOT = Path(__file__).parents[3]
UNREACHED = Check(
    "channel", "unchecked", required=True, expected="-", found="not reached"
)
FAILED = Check("document.time", "fail", required=True, expected="a", found="b")


def spelt(rows: object) -> str:
    return "\n".join(str(row) for row in rows)  # type: ignore[attr-defined] # any rows


def test_a_check_that_was_not_reached_says_no_more() -> None:
    assert "not reached" in str(check_row(UNREACHED))
    assert "expected" not in str(check_row(UNREACHED))


def test_a_report_without_a_checkpoint_names_no_log() -> None:
    report = structs.replace(Scene().report(), checkpoint=None)
    assert "  log: " not in spelt(rows_of(report))


def test_of_many_failed_checks_some_are_shown_and_the_rest_counted() -> None:
    checks = tuple(structs.replace(FAILED, id=f"check.{n}") for n in range(40))
    report = structs.replace(Scene().report(), verdict="refuted", checks=checks)
    text = spelt(rows_of(report))
    assert "more; --json has all" in text


@pytest.mark.parametrize(
    ("statuses", "status"),
    [(["unchecked"], 3), (["unchecked", "fail"], 4), ([], 4)],
)
def test_what_is_not_ready_ends_as_its_checks_do(
    statuses: list[str], status: int
) -> None:
    checks = tuple(structs.replace(FAILED, status=one) for one in statuses)
    assert Ready(False, "a/b", None, (), (), checks).exit_code == status  # noqa: FBT003 - a member


def test_seconds_that_are_no_minutes_are_said_as_seconds() -> None:
    text = MemoryLog().policy(
        'clock_skew = "90s"', products='[platforms.aws-nitro]\nroots = ["builtin"]\n'
    )
    policy = Policy.parse(text.encode())
    assert "90s" in str(list(explain(policy)))


def test_a_quorum_of_one_among_several_is_weak() -> None:
    keys = f'{{ quorum = 1, keys = ["{W1.public}", "{W2.public}"] }}'
    text = MemoryLog().policy(
        witnesses=keys, products='[platforms.aws-nitro]\nroots = ["builtin"]\n'
    )
    policy = Policy.parse(text.encode())
    assert "weakest of the keys" in str(list(lint(policy, 0)))


def test_a_value_without_an_end_is_no_policy() -> None:
    with pytest.raises(UsageError, match="does not come to an end"):
        _length([b'keys = ["a"\n', b"more\n"])


class _Silent:
    """A log that does not answer."""

    client = Client("https://log.example")

    def fetch(self, _product: str, _measurements: object) -> bytes:
        message = "no answer"
        raise TransportError(message)


def test_a_log_that_does_not_answer_is_asked_again_while_there_is_time() -> None:
    session: Any = SimpleNamespace(output=Output())
    access: Any = _Silent()
    build = Build("aws-nitro", GOOD)
    now = time.monotonic()
    assert _ask(session, access, "a/b", build, ends=now + 60) is None
    with pytest.raises(TransportError):
        _ask(session, access, "a/b", build, ends=now - 1)


def test_questions_are_answered_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = json.loads((ROOT / "tests/vectors/seals.json").read_text("utf-8"))
    asked = [case["ask"] for case in family["cases"] if "@" not in str(case["ask"])][:2]
    asked.append({"op": "sing"})
    lines = "".join(json.dumps(one) + "\n" for one in asked).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert answer_command.callback is not None
    answer_command.callback()
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == len(asked)
    assert answers[-1] == {"error": "unsupported"}
