"""`pcrlog diff`: why does my rebuild not match?

Two images are compared down to the files of their ramdisks; measurements, as builds
print them, and an image with a measurement, by their registers. What is found is
grouped: hundreds of files with other dates are one line, and the usual reason for it.

Exit status 0 if all that is measured is the same, 4 if it is not. 1 would be what
`diff` says, but is left to a crash here, so that a script that crashes never reads as
one that compared.
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from cli import files, images
from cli.differences import rows_of
from cli.options import json_option, takes
from cli.session import Session
from pcrlog.errors import MalformedError, UsageError, VerificationError
from pcrlog.published import MOST, collect, parse_pairs

if TYPE_CHECKING:
    from workbench.comparing import Comparison, Side


class _Diff(Struct, frozen=True, kw_only=True):
    a: str
    b: str


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@json_option
@takes(_Diff)
def diff_command(session: Session, options: _Diff) -> int:
    """Say what differs between two images, or measurements.

    A and B are .eif files, or files of registers in any form in which builds print
    them. Exit status: 0 the same, 4 different.
    """
    found = _compare(session, options)
    session.output.result(found, rows_of(found))
    return 0 if found.same else VerificationError.exit_code


def _compare(session: Session, options: _Diff) -> "Comparison":
    from workbench.comparing import compare_images, compare_registers

    with ExitStack() as stack:
        a, b = (_side(stack, session, path) for path in (options.a, options.b))
        if isinstance(a, dict) or isinstance(b, dict):
            return compare_registers(*map(_registers, (a, b)))
        with session.output.progress("comparing") as tell:
            return compare_images(a, b, images.telling(tell, "both"))


def _side(stack: ExitStack, session: Session, path: str) -> "Side | dict[str, str]":
    """An image with its open file, or registers."""
    if not images.is_image(path):
        try:
            return collect(parse_pairs(files.read(path, MOST))).registers
        except MalformedError as error:
            message = f"{path} is neither an image nor a file of registers: {error}"
            raise UsageError(message) from error
    from workbench.comparing import Side

    file = stack.enter_context(images.opened(path))
    return Side(file, images.measured(file, path, session.output))


def _registers(side: "Side | dict[str, str]") -> dict[str, str]:
    return side if isinstance(side, dict) else side.image.registers
