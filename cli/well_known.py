"""`/.well-known/pcrlog`: where a host's attestation is, and as what, in one small file.

    {"attestation":"https://wallet.acme.example/attestation",
     "bundle":"https://wallet.acme.example/wallet.pcrbundle",
     "format":"pcrlog-well-known/v1",
     "logs":["log.example/pcr"],
     "product":"acme.example/wallet"}

Canonical JSON (without the line breaks shown here), at most 4,096 bytes, no other
members; `bundle` may be absent. `pcrlog staple` writes it, and `pcrlog verify HOST`
reads it.

It is a hint, and trusted for nothing (ADR 0046): what is verified is what the user
asked for, or is told; which log is asked, the policy says; a bundle proves itself. So
that a hint can lead nowhere else, its URLs are https and of the host that was asked,
whatever the port, and no redirect is followed.
"""

import re
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from cli.session import Session
from pcrlog import limits
from pcrlog.encoding import decode_json, encode_json, prepare, shown
from pcrlog.errors import (
    MalformedError,
    PcrlogError,
    TransportError,
    UncheckedError,
    UsageError,
)
from pcrlog.exchange import Answer, Exchange
from pcrlog.policy import Policy
from pcrlog.predicates import Origin, Product
from pcrlog.verification import verify
from pcrlog.verification.checks import ANSWERS, LOG, NOT_REACHED
from pcrlog.verification.document import Asked

PATH = ".well-known/pcrlog"
SIZE = 4_096
"""Bytes of the whole file."""
_LOGS = 8
_OK, _REDIRECTS, _NOT_FOUND = 200, range(300, 400), 404
_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?"
_ASKED = re.compile(rf"(?:https://)?({_HOST})(:[1-9][0-9]{{0,4}})?/?")
_Url = Annotated[
    str,
    Meta(
        max_length=limits.URI,
        pattern=rf"^https://{_HOST}(:[1-9][0-9]{{0,4}})?(/[0-9A-Za-z._~!$&'()*+,;=:@%/-]*)?\Z",
    ),
]


class WellKnown(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The file's members, of their form; what they say is not verified."""

    format: Literal["pcrlog-well-known/v1"]
    product: Product
    attestation: _Url
    logs: Annotated[tuple[Origin, ...], Meta(min_length=1, max_length=_LOGS)]
    bundle: _Url | None = None

    @classmethod
    def parse(cls, data: bytes, host: str) -> "WellKnown":
        """Read the file of a host.

        Raises:
            MalformedError: not of this form, or it leads to another host.
        """
        if len(data) > SIZE:
            message = f"{PATH} has {len(data)} bytes, at most {SIZE}"
            raise MalformedError(message)
        found = decode_json(data, cls)
        if list(found.logs) != sorted(set(found.logs)):
            message = "logs: expected them ascending, each once"
            raise MalformedError(message)
        for name in ("attestation", "bundle"):
            url = getattr(found, name)
            if url is not None and host_of(url) != host:
                message = f"{name}: expected a URL of {host}, found {shown(url)}"
                raise MalformedError(message)
        return found

    def encode(self) -> bytes:
        """The file's bytes."""
        return encode_json(self)


prepare(WellKnown)


def host_of(url: str) -> str:
    """The host of a URL, without its port."""
    return urlsplit(url).hostname or ""


class Resolved(NamedTuple):
    """What `verify` goes on with: `log` is a URL, or None to leave it to the policy."""

    url: str
    product: str
    log: str | None
    bundle: bytes | None


def resolve(
    session: Session, asked: str, policy: Policy, product: str | None, *, alone: bool
) -> Resolved:
    """Ask a host what it is, and say what was taken from its answer.

    Args:
        session: where it is said.
        asked: a host, with a port if need be.
        policy: decides which products and logs there are.
        product: what the user asked for, if anything.
        alone: whether nothing else says where the log's answers come from.

    Raises:
        UsageError: no host, or a product that the policy does not name.
        UncheckedError: no usable answer, or it is not what was asked for.
    """
    match = _ASKED.fullmatch(asked.lower())
    if match is None:
        message = (
            f"verify which host? wallet.acme.example or with a port, {shown(asked)}"
        )
        raise UsageError(message)
    base, host = f"https://{match[1]}{match[2] or ''}", match[1]
    with session.output.progress(f"asking {base}"):
        found = _fetch(base, host)
    _check_product(session, host, found, policy, product)
    known = [policy.logs[name].url for name in found.logs if name in policy.logs]
    if not known:
        session.output.remark(
            f"{host} names {', '.join(found.logs)}, of which the policy knows nothing;"
            " the policy's own log is asked"
        )
    log = known[0] if alone and len(known) == 1 and len(policy.logs) > 1 else None
    bundle = None
    if alone and found.bundle is not None:
        with session.output.progress(f"asking {base}"):
            bundle = _bundle(session, found.bundle)
    return Resolved(found.attestation, found.product, log, bundle)


def _fetch(base: str, host: str) -> WellKnown:
    where = f"{base}/{PATH}"
    answer = _get(base, PATH, SIZE)
    if answer.status == _NOT_FOUND:
        message = f"{where} is not there: say where its attestation is, --url URL"
        raise UncheckedError(message)
    if answer.status in _REDIRECTS:
        message = f"{where} leads elsewhere, which is not followed: --url URL"
        raise TransportError(message)
    if answer.status != _OK:
        message = f"{where} answered {answer.status}, want 200"
        raise TransportError(message)
    try:
        return WellKnown.parse(answer.body, host)
    except MalformedError as error:
        message = f"{where} is not what it should be: {error}"
        raise TransportError(message) from error


def _get(url: str, path: str, most: int) -> Answer:
    server = Exchange(url)
    try:
        return server.get(path, most)
    finally:
        server.close()


def _check_product(
    session: Session, host: str, found: WellKnown, policy: Policy, product: str | None
) -> None:
    """Hold what the host says that it is against what was asked for, or tell it."""
    if product is None:
        if policy.find_product(found.product) is None:
            message = (
                f"{host} says that it is {found.product}, which the policy does not"
                " name. If that is what you want: pcrlog policy add POLICY"
                f" {found.product}"
            )
            raise UsageError(message)
        session.output.remark(
            f"{host} says that it is {found.product}, and you did not say what it is"
            " meant to be (--product): that is what is verified"
        )
    elif product != found.product:
        message = (
            f"you asked for {product}, and {host} says that it is {found.product}:"
            " nothing was verified. Ask another host, or where it is: --url URL"
        )
        raise UncheckedError(message)


def _bundle(session: Session, url: str) -> bytes | None:
    """The stapled bundle, unverified; None if there is none to be had."""
    try:
        answer = _get(url, "", limits.BUNDLE)
    except PcrlogError as error:
        session.output.remark(f"no stapled bundle, so the log is asked: {error}")
        return None
    if answer.status != _OK:
        words = f"{url} answered {answer.status}"
        session.output.remark(f"no stapled bundle, so the log is asked: {words}")
        return None
    return answer.body


def fitting(
    document: bytes, bundle: bytes, policy: Policy, product: str, asked: Asked
) -> bytes:
    """A bundle that has all the answers that this document calls for, proven and fresh.

    It is only looked at: what it comes to is judged again, with all the rest.

    Raises:
        UncheckedError: it does not have them, or what it says does not hold.
    """
    seen = verify(
        document,
        bundle,
        policy,
        product=product,
        now=asked.now,
        nonce=asked.nonce,
        collateral=asked.collateral,
    )
    for check in seen.checks:
        if (
            check.id in (*LOG, *ANSWERS)
            and check.required
            and check.status != "pass"
            and check.found != NOT_REACHED
        ):
            message = f"{check.id}: expected {check.expected}; found {check.found}"
            raise UncheckedError(message)
    return bundle
