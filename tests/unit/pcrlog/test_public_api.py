"""`import pcrlog`: cheap, complete, and as its docstring says."""

import ast
import inspect
import json
import os
import subprocess
import sys
import textwrap

import pytest

import pcrlog
from pcrlog.attestation.simulator import Simulator
from pcrlog.encoding import encode_base64
from tests.support.memory_log import MemoryLog, registers
from tests.support.vectors import ROOT

PRODUCT = "acme.example/x"


def modules_after(code: str) -> set[str]:
    """What a fresh interpreter has loaded after running that."""
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    # Measuring coverage loads modules of its own.
    env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=env,
    )
    return set(json.loads(done.stdout))


def test_importing_pcrlog_loads_nothing_heavy() -> None:
    loaded = modules_after("import pcrlog") - modules_after("")
    ours = {name for name in loaded if name.partition(".")[0] == "pcrlog"}
    assert ours == {"pcrlog"}
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign == {"pcrlog"}


def test_verification_needs_no_framework_and_no_network() -> None:
    loaded = modules_after("import pcrlog; pcrlog.verify; pcrlog.Policy; pcrlog.Proof")
    assert "pcrlog.verification" in loaded
    assert not loaded & {
        "click",
        "flask",
        "granian",
        "pcrlog.transport",
        "requests",
        "socket",
        "sqlite3",
        "ssl",
    }


def test_each_public_name_is_there_and_documented() -> None:
    assert set(pcrlog.__all__) >= {
        "Bundle",
        "MalformedError",
        "PcrlogError",
        "Policy",
        "Proof",
        "Report",
        "UncheckedError",
        "VerificationError",
        "verify",
    }
    for name in pcrlog.__all__:
        value = getattr(pcrlog, name)
        assert inspect.getdoc(value), name
        assert value.__module__.startswith("pcrlog."), name


def test_a_public_name_is_the_object_of_its_home() -> None:
    from pcrlog.errors import MalformedError  # noqa: PLC0415 - the point of the test

    assert pcrlog.MalformedError is MalformedError


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'pcrlog' has no attribute 'x'"):
        _ = pcrlog.x
    assert not hasattr(pcrlog, "sign")


# --- the three lines of the docstring ------------------------------------------------


class Scene:
    """An enclave, the log that knows it, and somebody who wants to know."""

    def __init__(self) -> None:
        log = MemoryLog()
        log.enroll("acme.example", "provider")
        log.release(PRODUCT, "1.0.0", registers("good"))
        log.seal()
        simulator = Simulator(b"tests/unit/pcrlog")
        root = encode_base64(simulator.root_der)
        border = "-----{} CERTIFICATE-----".format
        pem = rf"{border('BEGIN')}\n{root}\n{border('END')}\n"
        tables = [
            "[platforms.aws-nitro]",
            f'roots = ["{pem}"]',
            f'[products."{PRODUCT}"]',
            'platforms = ["aws-nitro"]',
        ]
        self.policy = log.policy(products="\n".join(tables)).encode()
        self.bundle = log.bundle(PRODUCT, registers("good")).encode()
        self.now = log.now
        measured = {n: d.partition(":")[2] for n, d in registers("good").items()}
        self.document = simulator.document(
            time=log.now * 1000,
            registers=measured,
            nonce=b"our nonce",
            public_key=b"its key",
        )


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def three_lines() -> str:
    """As they stand in the docstring."""
    lines = (pcrlog.__doc__ or "").splitlines()
    return textwrap.dedent("\n".join(one for one in lines if one.startswith("    ")))


def run(scene: Scene, **names: object) -> dict[str, object]:
    """Run the three lines with these names."""
    given = {
        "pcrlog": pcrlog,
        "policy_toml": scene.policy,
        "document": scene.document,
        "bundle": scene.bundle,
        "now": scene.now,
        "nonce": b"our nonce",
        **names,
    }
    exec(three_lines(), given)  # noqa: S102 - our own documentation
    return given


def test_the_verifier_of_the_docstring_has_three_lines() -> None:
    assert len(ast.parse(three_lines()).body) == 3


def test_the_verifier_of_the_docstring_verifies(scene: Scene) -> None:
    names = run(scene)
    enclave = names["enclave"]
    assert isinstance(enclave, pcrlog.Enclave)
    assert (enclave.product, enclave.version) == (PRODUCT, "1.0.0")
    assert enclave.public_key == b"its key"
    report = names["report"]
    assert isinstance(report, pcrlog.Report)
    assert report.verdict == "verified"
    assert report.trust_ends_at == 2


def test_the_verifier_of_the_docstring_raises_unless_verified(scene: Scene) -> None:
    with pytest.raises(pcrlog.VerificationError):
        run(scene, document=scene.document[:-1] + b"\x00")
    with pytest.raises(pcrlog.UncheckedError):
        run(scene, bundle=None)
    with pytest.raises(pcrlog.VerificationError):
        run(scene, nonce=b"another nonce")
    with pytest.raises(pcrlog.PcrlogError):
        run(scene, now=scene.now + 86_400 * 400)
