"""Writes the file of `verify --report`; report_file.py says what stands in it."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import UNSET, Struct

from cli import files
from cli.report_page import render
from cli.report_parts import Parts, Remembered, Run, program
from cli.session import Session
from pcrlog import limits
from pcrlog.encoding import sha256
from pcrlog.errors import UsageError
from pcrlog.verification import Memory, Report


class Call(Struct, frozen=True, kw_only=True):
    """One call of `verify`: its arguments, and whether the command asked for more."""

    document: bytes
    bundle: bytes | None
    product: str
    now: int
    at: int | None
    nonce: bytes | None
    binding: Mapping[str, bytes] | None
    memory: Memory | None
    channel: bool
    collateral: bytes | None = None
    platform: str | None = None


def require_new(path: str) -> None:
    """Refuse, before anything is asked, what would be refused after it.

    Raises:
        UsageError: the file exists, or its folder does not.
    """
    if path != "-" and Path(path).parent.is_dir() and not Path(path).exists():
        return
    message = f"--report {path}: name a new file, in a folder that is there"
    raise UsageError(message)


def write_report(
    session: Session, path: str, policy_file: str | None, call: Call, report: Report
) -> None:
    """Write the file.

    Raises:
        UsageError: the policy's file has changed since it was read.
    """
    policy = files.read(policy_file or "", limits.POLICY)
    if sha256(policy).hex() != report.policy_sha256:
        message = f"{policy_file} has changed meanwhile: there is no report; run again"
        raise UsageError(message)
    binding, memory = None, None
    if call.binding is not None:
        binding = {kind: value.hex() for kind, value in call.binding.items()}
    if call.memory is not None:
        seen = call.memory
        memory = Remembered(seen.note.decode(), seen.proof, seen.frozen)
    run = Run(
        program=program(),
        product=call.product,
        now=call.now,
        at=call.at,
        nonce=None if call.nonce is None else call.nonce.hex(),
        binding=binding,
        channel=call.channel,
        memory=memory,
        platform=UNSET if call.platform is None else call.platform,
    )
    parts = Parts(
        run=run.encode(),
        policy=policy,
        document=call.document,
        collateral=call.collateral,
        bundle=call.bundle,
        report=report.to_json(),
    )
    data = render(parts)
    files.write_new(path, data)
    session.output.remark(
        f"the report is in {path} (sha256 {sha256(data).hex()}); whoever has it:"
        f" pcrlog report verify {path}"
    )
