"""SLSA provenance in a Sigstore bundle: who built a file, from what; checked offline.

A build service signs, with a certificate that lasts minutes and names it, a statement
about what it built. Whether that signature holds is for `sigstore` to say (an extra of
its own: pip install 'pcrlog[sigstore]'): the certificate's chain and its place in a
certificate log, the entry in the transparency log with its proof and its checkpoint,
the signature. All of it against a trusted root that the caller names, in a file;
nothing is fetched.

What it proves is who signed, never that the source builds to the file: a build service
is one more party to believe, beside the provider. So a release that names provenance
still only claims its source (link 3), "built by" somebody; an auditor's rebuild proves.

Who that somebody is, the certificate says (`signer`), which the certificate authority
has checked; what the statement itself says of its builder (`builder`) is the signer's
word.
"""

import json
from collections.abc import Iterator
from typing import Any

from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    ObjectIdentifier,
    RFC822Name,
    SubjectAlternativeName,
    UniformResourceIdentifier,
)
from msgspec import Struct

from pcrlog.encoding import format_time, printable, sha256, shown
from pcrlog.errors import MalformedError, UsageError, VerificationError

MOST = 1 << 20
"""Bytes of a bundle, or of a trusted root."""
_TYPE = "application/vnd.in-toto+json"
_STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_V1 = "https://slsa.dev/provenance/v1"
_V02 = "https://slsa.dev/provenance/v0.2"
_ISSUERS = ("1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1")
"""Extensions that name who checked the signer's identity: newer (DER), older (bare)."""
_UTF8, _SHORT = 0x0C, 0x80
_WORD = 300
_SUBJECTS = 1_024


class Provenance(Struct, frozen=True):
    """What a bundle proves, and what its signer says.

    `sha256`: of the bundle's file. `signer`: whom the certificate names, such as a
    workflow at a tag; `issuer`: who checked that. `time`: when the certificate was
    made, minutes before it was used.
    `builder`: what the statement calls its builder. `files`: SHA-256 of what was built.
    `commits`: the git commits that it says it was built from.
    """

    sha256: str
    signer: str
    issuer: str
    time: str
    builder: str
    files: tuple[str, ...]
    commits: tuple[str, ...]


def verify(bundle: bytes, trusted_root: str) -> Provenance:
    """The provenance in a bundle, if all of its signatures and proofs hold.

    Args:
        bundle: a Sigstore bundle (JSON) around a DSSE envelope.
        trusted_root: a file: the certificate authorities and logs to believe.

    Raises:
        UsageError: `sigstore` is not installed, or the trusted root is none.
        MalformedError: no bundle, or what is signed in it is no SLSA provenance.
        VerificationError: a signature, a certificate or a proof does not hold.
    """
    if len(bundle) > MOST:
        message = f"a Sigstore bundle has at most {MOST} bytes"
        raise MalformedError(message)
    payload, certificate, time = _opened(bundle, trusted_root)
    statement = _json(payload)
    kind, predicate = _predicate(statement)
    return Provenance(
        sha256=sha256(bundle).hex(),
        signer=_signer(certificate),
        issuer=_issuer(certificate),
        time=time,
        builder=_builder(kind, predicate),
        files=tuple(dict.fromkeys(_files(statement))),
        commits=tuple(dict.fromkeys(_commits(kind, predicate))),
    )


def check(found: Provenance, file: str | None, commit: str | None) -> tuple[str, ...]:
    """Hold provenance against what a release says; what it leaves open.

    Args:
        found: verified provenance.
        file: SHA-256 of the file that was released; None if the release names none.
        commit: the commit that the release names; None if it names none.

    Raises:
        VerificationError: it is about another file, or another commit.
    """
    if file is not None and file not in found.files:
        message = (
            f"the provenance is about other files: {_few(found.files)}, and not"
            f" {file[:16]}…"
        )
        raise VerificationError(message)
    if commit is not None and found.commits and commit not in found.commits:
        message = (
            f"the provenance says it was built from {_few(found.commits)}, and the"
            f" release says from commit {commit[:12]}"
        )
        raise VerificationError(message)
    remarks = []
    if file is None:
        remarks.append("the release names no file that the provenance could be about")
    if commit is not None and not found.commits:
        remarks.append("the provenance names no commit")
    return tuple(remarks)


def _few(digests: tuple[str, ...]) -> str:
    return ", ".join(f"{one[:16]}…" for one in digests[:3]) or "none"


# --- what sigstore checks ------------------------------------------------------------


class _AnySigner:
    """A policy of `sigstore`: one signer, who is told, and compared by whoever asks."""

    def verify(self, cert: Certificate) -> None:
        """Check that the certificate names one."""
        _signer(cert)


def _opened(bundle: bytes, trusted_root: str) -> tuple[bytes, Certificate, str]:
    """The payload that is signed, by which certificate, and when that was made."""
    try:
        from sigstore.errors import Error  # noqa: PLC0415 - an extra, and 0.4 s
        from sigstore.models import Bundle, TrustedRoot  # noqa: PLC0415 - as above
        from sigstore.verify import Verifier  # noqa: PLC0415 - as above
    except ImportError as error:
        message = f"provenance needs sigstore: pip install 'pcrlog[sigstore]' ({error})"
        raise UsageError(message) from error
    try:
        verifier = Verifier(trusted_root=TrustedRoot.from_file(trusted_root))
    except (OSError, ValueError, Error) as error:
        message = f"{trusted_root} is no trusted root of Sigstore: {_words(error)}"
        raise UsageError(message) from error
    try:
        parsed = Bundle.from_json(bundle)
    except (ValueError, Error) as error:
        message = f"no Sigstore bundle: {_words(error)}"
        raise MalformedError(message) from error
    try:
        kind, payload = verifier.verify_dsse(parsed, _AnySigner())
    except Exception as error:
        # Whatever sigstore, or a library below it, stumbles over did not verify.
        message = f"the provenance's signature does not hold: {_words(error)}"
        raise VerificationError(message) from error
    if kind != _TYPE:
        message = f"expected a payload of {_TYPE}, found {printable(kind, 80)}"
        raise MalformedError(message)
    certificate = parsed.signing_certificate
    seconds = int(certificate.not_valid_before_utc.timestamp())
    return payload, certificate, format_time(seconds)


def _words(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return printable(lines[0], 200)


def _signer(certificate: Certificate) -> str:
    """Whom the certificate names."""
    try:
        names = certificate.extensions.get_extension_for_class(
            SubjectAlternativeName
        ).value
    except ExtensionNotFound as error:
        message = "the provenance's certificate names nobody"
        raise VerificationError(message) from error
    found = [
        one.value
        for one in names
        if isinstance(one, UniformResourceIdentifier | RFC822Name)
    ]
    if len(found) != 1 or len(list(names)) != 1:
        message = (
            "the provenance's certificate does not name one signer, by URI or mail"
        )
        raise VerificationError(message)
    if printable(found[0], _WORD) != found[0]:  # as it is compared, so it is shown
        message = f"the provenance's certificate names {shown(found[0])}: no plain name"
        raise VerificationError(message)
    return found[0]


def _issuer(certificate: Certificate) -> str:
    """Who checked the signer's identity; empty if the certificate does not say."""
    for number, oid in enumerate(_ISSUERS):
        try:
            found = certificate.extensions.get_extension_for_oid(ObjectIdentifier(oid))
        except ExtensionNotFound:
            continue
        value: bytes = found.value.value  # type: ignore[attr-defined] # of an unknown kind: its bytes
        if number == 0:
            if len(value) < 2 or value[0] != _UTF8 or value[1] != len(value) - 2:  # noqa: PLR2004 - tag and length
                break
            value = value[2:]
        return printable(value.decode("utf-8", "replace"), _WORD)
    return ""


# --- what the signer says ------------------------------------------------------------


def _json(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError) as error:
        message = "what the provenance's bundle signs is not JSON"
        raise MalformedError(message) from error
    return _object(found)


def _predicate(statement: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind = statement.get("predicateType")
    if statement.get("_type") not in _STATEMENTS or kind not in (_V1, _V02):
        message = (
            f"expected SLSA provenance ({_V1}), found {printable(str(kind), 80)}: name"
            " other documents with --reference"
        )
        raise MalformedError(message)
    return str(kind), _object(statement.get("predicate"))


def _object(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    message = "the provenance is not of the shape that SLSA says"
    raise MalformedError(message)


def _objects(value: object) -> list[dict[str, Any]]:
    if value is None:
        return []
    if isinstance(value, list) and len(value) <= _SUBJECTS:
        return [_object(one) for one in value]
    message = f"the provenance has a list that is none, or of more than {_SUBJECTS}"
    raise MalformedError(message)


def _builder(kind: str, predicate: dict[str, Any]) -> str:
    holder = _object(predicate.get("runDetails")) if kind == _V1 else predicate
    found = _object(holder.get("builder")).get("id")
    if not isinstance(found, str):
        message = "the provenance names no builder"
        raise MalformedError(message)
    return printable(found, _WORD)


def _files(statement: dict[str, Any]) -> Iterator[str]:
    """SHA-256 of what was built."""
    for subject in _objects(statement.get("subject")):
        digest = _object(subject.get("digest")).get("sha256")
        if isinstance(digest, str):
            yield digest


def _commits(kind: str, predicate: dict[str, Any]) -> Iterator[str]:
    """The commits among what it was built from."""
    if kind == _V1:
        holder = _object(predicate.get("buildDefinition"))
        inputs = _objects(holder.get("resolvedDependencies"))
    else:
        inputs = _objects(predicate.get("materials"))
    for one in inputs:
        digest = one.get("digest") or {}
        for name in ("gitCommit", "sha1"):
            found = _object(digest).get(name)
            if isinstance(found, str):
                yield printable(found, 64)
