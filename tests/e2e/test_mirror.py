"""A mirror of a log that is really served: the same files, and the same answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from cli.mirror_answers import Mirror
from log_server.policy_file import policy_skeleton
from pcrlog import limits
from pcrlog.reader import bundle_path, lookup_path
from tests.e2e.served import Served
from tests.unit.cli.mirroring import AT_ONCE
from tests.unit.log_server.parties import NITRO, PRODUCT, Log, Party, measurement

pytestmark = pytest.mark.e2e

QUESTIONS = [
    *(bundle_path(PRODUCT, [f"{NITRO}/{measurement(n)}"], ()) for n in (1, 2, 3)),
    bundle_path(PRODUCT, [f"{NITRO}/{measurement(1)}"], ["lab.example"]),
    lookup_path(f"v1/product/{PRODUCT}"),
    lookup_path(f"v1/measurement/{NITRO}/{measurement(2)}"),
    lookup_path("v1/identity/acme.example"),
    lookup_path("v1/issuer/acme.example"),
    lookup_path("v1/issuer/nobody.example"),
    "api/v1/entries/4",
]


def test_a_mirror_has_the_logs_files_and_gives_its_answers(
    log: Log,
    acme: Party,
    start: Callable[..., Served],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PCRLOG_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(AT_ONCE, 1)
    served = start()
    for number in (1, 2):
        assert served.submit(acme.release(number, f"1.{number}.0"))[0] == 201
    assert served.submit(acme.revocation(2))[0] == 201
    url, policy = f"http://127.0.0.1:{served.port}", tmp_path / "policy.toml"
    policy.write_bytes(policy_skeleton(log.config, url, log.clock))
    folder = tmp_path / "mirror"
    words = ["mirror", url, str(folder), "--policy", str(policy)]
    assert main(words) == 0
    mirror = Mirror(str(folder))
    shown = [path for path in folder.rglob("[0-9c]*") if path.is_file()]
    assert len(shown) == 3
    for path in shown:
        assert served.get(f"/{path.relative_to(folder)}") == path.read_bytes()
    for question in QUESTIONS:
        assert mirror(question, limits.BUNDLE) == served.get(f"/{question}")
