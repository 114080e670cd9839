"""A third maker's platform, whole: what adding one takes, run by test_another_platform.

One module (here `toy`, made on the spot), one entry in `PLATFORMS`; and then a log
takes its releases, a policy demands it, its documents are recognised, and `verify`
reports its numbered checks. It has to be a process of its own, since platforms are
known before anything else is imported.

A toy's document is "TOY1", what runs (32 bytes), a nonce (32), a signature (Ed25519);
its one root is the maker's key.
"""

import sys
from types import ModuleType
from typing import Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from pcrlog.measurement import PLATFORMS, Ground, Platform

MAGIC = b"TOY1"
cast("dict[str, Platform]", PLATFORMS)["toy"] = Platform(
    "toy",
    ("CODE",),
    (("CODE",),),
    "CODE",
    {"sha256": (64,)},
    attests=True,
    begins=(MAGIC,),
    dated=False,
    checks=("document.charm",),
    of_collateral=("document.charm",),
    ground=Ground("acme-chips", "Acme Chips", ("whoever has the toy",), alone=False),
)

from pcrlog import attestation  # noqa: E402 - after the entry, as in a later version
from pcrlog.attestation import Document, Step, Trust  # noqa: E402 - likewise
from pcrlog.errors import (  # noqa: E402 - likewise
    MalformedError,
    UncheckedError,
    VerificationError,
)
from pcrlog.policy import Policy  # noqa: E402 - likewise
from pcrlog.verification import verify  # noqa: E402 - likewise
from tests.support.memory_log import START, MemoryLog  # noqa: E402 - likewise
from tests.support.scene import pem  # noqa: E402 - likewise

MAKER = Ed25519PrivateKey.from_private_bytes(b"a maker of toys, for this test .")
ROOT = MAKER.public_key().public_bytes_raw()


def parse(data: bytes) -> bytes:
    if not data.startswith(MAGIC) or len(data) != len(MAGIC) + 128:
        message = "toy: expected TOY1 and 128 bytes"
        raise MalformedError(message)
    return data


def take_signature(data: bytes, trust: Trust) -> tuple[Document, str]:
    signed, signature = data[:-64], data[-64:]
    try:
        [root] = trust.roots
        Ed25519PublicKey.from_public_bytes(root).verify(signature, signed)
    except (InvalidSignature, ValueError) as error:
        message = "not signed by its maker"
        raise VerificationError(message) from error
    code, nonce = signed[4:36], signed[36:]
    return Document(
        platform="toy",
        registers={"CODE": f"sha256:{code.hex()}"},
        time=None,
        nonce=nonce,
        user_data=None,
        public_key=None,
        module_id="",
        debug="",
        leaf_not_before=0,
        leaf_not_after=0,
        root_sha256="",
        notes=(),
    ), "by its maker"


def take_charm(document: Document, trust: Trust) -> tuple[Document, str]:
    if trust.collateral is None:
        message = "no charm was given"
        raise UncheckedError(message)
    return document, "charmed"


toy: Any = ModuleType("pcrlog.attestation.toy")
toy.PLATFORM = attestation.Platform(
    name="toy",
    roots=(pem(ROOT),),
    parse=parse,
    claims=lambda _: iter(()),
    steps=(
        Step("document.signature", "its maker's", take_signature),
        Step("document.chain", "nothing: there is none", lambda one, _: (one, "none")),
        Step("document.charm", "a charm", take_charm),
    ),
)
sys.modules["pcrlog.attestation.toy"] = toy

CODE, NONCE = {"CODE": f"sha256:{'c0' * 32}"}, b"n" * 32
SIGNED = MAGIC + bytes.fromhex("c0" * 32) + NONCE
DOCUMENT = SIGNED + MAKER.sign(SIGNED)

log = MemoryLog()
log.enroll("acme.example", "provider")
log.release("acme.example/toy", "1.0.0", CODE, platform="toy")
log.seal()
text = log.policy(
    products=f"""
[platforms.toy]
roots = ['''{pem(ROOT)}''']
operator = "somebody else"
[platforms.aws-nitro]
roots = ["builtin"]
[products."acme.example/toy"]
platforms = ["aws-nitro", "toy"]
ground = "separate"
"""
)
policy = Policy.parse(text.encode())
bundle = log.bundle("acme.example/toy", CODE, platform="toy").encode()
lax = Policy.parse(
    text.replace("operator", 'collateral = "optional"\noperator').encode()
)
for document, charm, demands in (
    (DOCUMENT, b"charm", policy),
    (DOCUMENT, None, policy),
    (DOCUMENT, None, lax),
    (DOCUMENT[:-1] + bytes([DOCUMENT[-1] ^ 1]), b"charm", policy),
    (DOCUMENT[:-1], b"charm", policy),
):
    report = verify(
        attestation.decode_input(document.hex().encode()),
        bundle,
        demands,
        product="acme.example/toy",
        now=START,
        nonce=NONCE,
        collateral=charm,
    )
    sys.stdout.write(f"{report.headline}\n")
    place = [one.id for one in report.checks].index("document.charm") + 1
    sys.stdout.write(
        f"    {report.ground}, {len(report.checks)} checks, number {place} its own\n"
    )
