"""What is measured: a release with two audits in a log, its document and its policy."""

import time
from dataclasses import dataclass

from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import encode_base64
from pcrlog.policy import Policy
from pcrlog.predicates import Build, Document, Source
from tests.support.memory_log import MemoryLog, registers, witness

PRODUCT = "acme.example/wallet"
NONCE = b"n" * 32
AUDITORS = ("lab.example", "lens.example")


@dataclass(frozen=True)
class Scene:
    """Inputs of one verification, and the log that they come from."""

    log: MemoryLog
    document: bytes
    bundle: bytes
    policy: bytes

    @property
    def now(self) -> int:
        """The verifier's clock."""
        return self.log.now

    def parsed_policy(self) -> Policy:
        """The policy."""
        return Policy.parse(self.policy)


def populate(log: MemoryLog) -> None:
    """A provider, two auditors, a release with all members, two audits."""
    log.enroll("acme.example", "provider")
    for auditor in AUDITORS:
        log.enroll(auditor, "auditor")
    build = registers("1.4.2")
    source = Source("https://git.example/acme/wallet", "ab" * 20)
    recipe = Document("https://git.example/acme/recipe", "cd" * 32)
    log.release(
        PRODUCT,
        "1.4.2",
        build,
        source=source,
        build=Build(recipe),
        components=(),
        controls=(),
    )
    log.audit("lab.example", "reproduction", build, source=source)
    log.audit("lens.example", "source-review", {"commit": f"gitCommit:{'ab' * 20}"})


def scene(log: MemoryLog | None = None) -> Scene:
    """The scene, in a log of its own unless one is given that is populated."""
    if log is None:
        cosigners = [witness("w1.example"), witness("w2.example")]
        # Now, for commands that look at the clock themselves.
        log = MemoryLog(now=int(time.time()), witnesses=cosigners)
        populate(log)
        log.seal()
    build = registers("1.4.2")
    simulator = Simulator(b"bench")
    document = simulator.document(
        time=log.now * 1000,
        registers={name: bytes.fromhex(d[7:]) for name, d in build.items()},
        nonce=NONCE,
    )
    bundle = log.bundle(PRODUCT, build, *AUDITORS).encode()
    return Scene(log, document, bundle, _policy(log, simulator).encode())


def _policy(log: MemoryLog, simulator: Simulator) -> str:
    der = encode_base64(simulator.root_der)
    frame = "-----{} CERTIFICATE-----"
    pem = f"{frame.format('BEGIN')}\n{der}\n{frame.format('END')}"
    keys = ", ".join(f'"{one.public}"' for one in log.witnesses)
    quorum = f"{{ quorum = {len(log.witnesses)}, keys = [{keys}] }}"
    auditors = (
        '[{ name = "lab.example", scopes = ["reproduction"] },'
        ' { name = "lens.example", scopes = ["source-review"] }]'
    )
    return log.policy(
        witnesses=quorum if log.witnesses else '"none"',
        products=f'''[platforms.aws-nitro]
roots = ["""{pem}"""]
[products."{PRODUCT}"]
platforms = ["aws-nitro"]
links = [1, 2, 3, 4]
auditors = {auditors}
''',
    )
