"""`pcrlog measure`: the registers that an enclave image boots to, from its bytes alone.

No nitro-cli, no machine of AWS and no log is asked. What cannot be read whole and
without contradiction is refused (workbench.eif_layout.CHECKS); `--json` is what
nitro-cli's describe-eif prints, and a member `pcrlog` with what it does not say.

Beside an image, or without one, it computes the registers that are known beforehand:
of a role, of a machine, of a certificate that will sign. `--with` appends ramdisks.
`--find`, which does ask a log, is in measure_find.py.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import click

from cli import files, images
from cli.options import LogOptions, json_option, read_options, takes
from cli.output import DIM, GOOD, STRONG, WARN, Row, blank, following, say
from cli.session import Session
from pcrlog import limits
from pcrlog.errors import UsageError, VerificationError

if TYPE_CHECKING:
    from workbench.eif import Image

_FORMULAS = {
    "PCR0": "SHA384(48 zero bytes, SHA384(data of all that says PCR0, in this order))",
    "PCR1": "the same, of all that says PCR1",
    "PCR2": "the same, of all that says PCR2",
    "PCR8": "SHA384(48 zero bytes, SHA384(the certificate in DER))",
}
_Part: TypeAlias = tuple[str, str, int]
_WIDTH = 9
"""Columns of a register's name, or of a number of bytes."""


class _Measure(LogOptions, frozen=True, kw_only=True):
    image: str | None
    explain: bool
    added: tuple[str, ...]
    role_arn: str | None
    instance_id: str | None
    certificate: str | None
    find: bool
    products: tuple[str, ...]


@click.command("measure")
@click.argument("image", required=False, metavar="[IMAGE.eif]")
@click.option("--explain", is_flag=True, help="Which bytes went into which register.")
@click.option(
    "--with",
    "added",
    metavar="RAMDISK",
    multiple=True,
    help="Predict: with this cpio archive as a further ramdisk, at the end.",
)
@click.option("--role-arn", metavar="ARN", help="Predict PCR3: on a machine in a role.")
@click.option("--instance-id", metavar="ID", help="Predict PCR4: on this machine.")
@click.option(
    "--certificate", metavar="FILE", help="Predict PCR8: signed with this one (PEM)."
)
@click.option(
    "--find", is_flag=True, help="Which artifacts of a log are in it? Sends no digest."
)
@click.option(
    "--product",
    "products",
    metavar="NAME/PRODUCT",
    multiple=True,
    help="With --find: artifacts of this one, or NAME/*; else of the policy's.",
)
@read_options
@json_option
@takes(_Measure)
def measure_command(session: Session, options: _Measure) -> int:
    """Compute the registers of an enclave image.

    Exit status: 0 measured, 4 it is no image, or one that readers would disagree on.
    With --find also 3: not all of it could be looked into.
    """
    if options.find:
        return _find(session, options)
    if options.products:
        message = "--product says whose artifacts to look for: with --find"
        raise UsageError(message)
    foreseen = _foreseen(options)
    if options.image is None:
        if not foreseen or options.added or options.explain:
            message = (
                "which image? pcrlog measure IMAGE.eif, or what to predict: --help"
            )
            raise UsageError(message)
        _show_registers(session, foreseen)
        return 0
    if options.added:
        _predict(session, options, options.image, foreseen)
        return 0
    with images.opened(options.image) as file:
        image = images.measured(file, options.image, session.output)
    _check_signer(image, foreseen)
    registers = image.registers | foreseen
    session.output.result(
        _data(image, registers, explain=options.explain),
        _rows(options, image, registers),
    )
    return 0


def _find(session: Session, options: _Measure) -> int:
    others = (options.added, options.role_arn, options.instance_id, options.certificate)
    if options.image is None or options.explain or any(others):
        message = "--find takes an image, and says nothing of registers"
        raise UsageError(message)
    from cli.measure_find import find

    return find(session, options, options.image, options.products)


# --- predictions ----------------------------------------------------------------------


def _foreseen(options: _Measure) -> dict[str, str]:
    """The registers that options give."""
    from workbench import eif_registers

    found = {}
    if options.role_arn is not None:
        found["PCR3"] = eif_registers.of_role(options.role_arn)
    if options.instance_id is not None:
        found["PCR4"] = eif_registers.of_instance(options.instance_id)
    if options.certificate is not None:
        from workbench.eif_certificate import read_certificate

        pem = files.read(options.certificate, limits.KEY_FILE)
        found["PCR8"] = eif_registers.of_certificate(read_certificate(pem).der)
    return found


def _check_signer(image: "Image", foreseen: dict[str, str]) -> None:
    """Refuse to predict what the image already contradicts.

    Raises:
        VerificationError: it is signed with another certificate.
    """
    ours, named = image.registers.get("PCR8"), foreseen.get("PCR8")
    if ours and named and ours != named:
        message = (
            "the image is signed with another certificate than the one named; leave"
            " --certificate out, or sign the image with it first"
        )
        raise VerificationError(message)


def _predict(
    session: Session, options: _Measure, path: str, foreseen: dict[str, str]
) -> None:
    if options.explain:
        message = "--explain shows an image that there is: leave out --with"
        raise UsageError(message)
    image, registers = images.predicted(path, options.added, session.output)
    parts = [(one, *files.digest(one)) for one in options.added]
    _show_registers(session, registers | foreseen, parts)
    session.output.remark(
        f"predicted: {len(options.added)} more at the end, byte for byte, of"
        f" {len(image.sections('ramdisk'))} ramdisks; nothing else changes. A platform"
        " that repacks anything, or puts it elsewhere, gets other registers. A release"
        " names what was added so: --component PRODUCT:SHA256"
    )
    if image.signer is not None and "PCR8" not in foreseen:
        session.output.remark(
            "its signature is over another PCR0 and has to be made anew; PCR8 is then"
            " that of the certificate that signs: --certificate FILE"
        )


def _show_registers(
    session: Session, registers: dict[str, str], parts: Sequence[_Part] = ()
) -> None:
    """Registers that were predicted, and what was added: path, SHA-256, size."""
    from workbench.eif import measurements

    data: dict[str, object] = {"Measurements": measurements(registers)}
    if parts:
        added = [{"file": f, "sha256": d, "size": size} for f, d, size in parts]
        data["pcrlog"] = {"added": added}
    rows = [*_register_rows(registers)]
    rows += [
        Row(((f"  {'with':<{_WIDTH}}", DIM),), f"{sha256} ({name})")
        for name, sha256, _ in parts
    ]
    session.output.result(data, rows)


# --- what is said ---------------------------------------------------------------------


def _data(
    image: "Image", registers: dict[str, str], *, explain: bool
) -> dict[str, object]:
    from workbench.eif import UNMEASURED, measurements
    from workbench.eif_layout import CHECKS

    ours: dict[str, object] = {"sha256": image.sha256, "size": image.size}
    if explain:
        ours |= {
            "checks": list(CHECKS),
            "sections": [
                {
                    "kind": part.section.kind,
                    "offset": part.section.offset,
                    "size": part.section.size,
                    "registers": list(part.registers),
                }
                for part in image.parts
            ],
            "unmeasured": list(UNMEASURED),
        }
    told = image.described() | {"Measurements": measurements(registers)}
    return told | {"pcrlog": ours}


def _rows(
    options: _Measure, image: "Image", registers: dict[str, str]
) -> Iterator[Row]:
    yield from _head(image)
    yield from _register_rows(registers)
    yield Row(((f"  {'sha256':<{_WIDTH}}", DIM),), f"{image.sha256} (of the file)")
    if image.signer is not None:
        who = ", ".join(
            f"{name} {value}" for name, value in image.signer.issuer.items()
        )
        told = f"{who}; valid until {image.signer.not_after}"
        yield Row(((f"  {'signed':<{_WIDTH}}", DIM),), told)
    if options.explain:
        yield from _explained(image, registers)
        return
    yield following(
        f"pcrlog release --product NAME/PRODUCT --version V --measurements"
        f" {options.image} --image {options.image}"
    )


def _head(image: "Image") -> Iterator[Row]:
    arch = "aarch64" if image.header.aarch64 else "x86_64"
    name = "an image without a name"
    if image.metadata is not None:
        from pcrlog.encoding import printable

        told = f"{image.metadata['ImageName']} {image.metadata['ImageVersion']}"
        name = printable(told)
    yield say(f"{name}: {arch}, EIF version {image.header.version}", STRONG)


def _register_rows(registers: dict[str, str]) -> Iterator[Row]:
    for name, value in registers.items():
        digits = value.partition(":")[2]
        yield Row(((f"  {name:<{_WIDTH}}", STRONG),), digits)


def _explained(image: "Image", registers: dict[str, str]) -> Iterator[Row]:
    from workbench.eif import UNMEASURED
    from workbench.eif_layout import CHECKS, HEADER

    yield blank()
    yield say("  from byte       size  what       goes into", DIM)
    yield _bytes(0, HEADER.size, "header", ())
    for part in image.parts:
        section = part.section
        yield _bytes(section.offset, section.size, section.kind, part.registers)
    yield say("  Each section has 12 bytes of its own before its data: into none.", DIM)
    yield blank()
    for name, formula in _FORMULAS.items():
        if name in registers:
            yield Row(((f"  {name:<{_WIDTH}}", STRONG),), formula)
    yield blank()
    yield say("In no register, so anybody may have changed it:", WARN)
    for told in UNMEASURED:
        yield Row((("  · ", WARN),), told)
    yield blank()
    unsigned = {"signature", "certificate", "signed"} if image.signer is None else set()
    yield say(f"{len(CHECKS) - len(unsigned)} checks have passed:", STRONG)
    for number, (name, demand) in enumerate(CHECKS.items(), 1):
        if name in unsigned:
            yield Row(((f"  · {number:2} {name:<12}", DIM),), "it is not signed", DIM)
        else:
            yield Row((("  ✓ ", GOOD), (f"{number:2} {name:<12}", STRONG)), demand)


def _bytes(offset: int, size: int, kind: str, registers: tuple[str, ...]) -> Row:
    lead = f"  {offset:>9} {size:>10}  {kind:<10} "
    into = " ".join(registers) or (
        "PCR8, its certificate" if kind == "signature" else "-"
    )
    return Row(((lead, ""),), into)
