"""Veraison's packages read the CoRIM that `pcrlog export --corim` writes.

Theirs is the verifier that CoRIMs were made for. Their release is of an older draft;
what it has otherwise is told, and bridged, in go/corim/main.go.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.interop import golang
from tests.support.memory_log import registers
from workbench import corim
from workbench.feed import Feed, Release

BUILDS = (registers("blue"), registers("green"))
FEED = Feed(
    product="acme.example/wallet",
    log="log.example/pcr",
    size=40,
    sealed=1_795_417_200,
    until=1_795_503_600,
    policy_sha256="ab" * 32,
    releases=tuple(
        Release(f"1.4.{n}", "aws-nitro", build, 10 + n, {2: "proven"})
        for n, build in enumerate(BUILDS)
    ),
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = golang.build_modules("corim", tmp_path_factory.mktemp("go"), ".")
    return folder / "corim"


def read(program: Path, data: bytes) -> Any:
    done = golang.run([program], stdin=data.hex())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_they_read_every_register_of_every_release(program: Path) -> None:
    found = read(program, corim.encode(FEED))
    assert found["id"] == "pcrlog:log.example/pcr:acme.example/wallet:40"
    assert found["not_after"] == FEED.until
    assert len(found["comids"]) == 2
    for comid, release in zip(found["comids"], FEED.releases, strict=True):
        name = f"acme.example/wallet {release.version}, entry {release.index}"
        assert comid["tag-identity"]["id"] == f"{name} of log.example/pcr"
        assert comid["entities"] == [{"name": "acme.example", "roles": ["creator"]}]
        [triple] = comid["triples"]["reference-values"]
        told = {"vendor": "acme.example", "model": "wallet"}
        assert triple["environment"] == {"class": told}
        claims = {
            f"PCR{one['key']['value']}": one["value"]["digests"]
            for one in triple["measurements"]
        }
        assert claims == {
            register: [f"sha-384;{in_base64(digest)}"]
            for register, digest in release.registers.items()
        }


def in_base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest.partition(":")[2])).decode()


def test_they_refuse_one_that_is_cut(program: Path) -> None:
    """So what they read above, they did read."""
    one = structs.replace(FEED, releases=FEED.releases[:1])
    done = golang.run([program], stdin=corim.encode(one)[:-20].hex())
    assert done.returncode == 1
