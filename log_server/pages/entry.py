"""One entry: as people read it, as it was signed, and how to check that it is there."""

from urllib.parse import urlencode

from flask import Response
from msgspec import Struct

from log_server.pages.desk import Desk
from log_server.pages.facts import facts_of, facts_of_seal
from log_server.pages.judged import Judged, judge
from log_server.pages.keys import Keyring
from log_server.pages.reading import Reading
from log_server.pages.words import kind_of, number, title
from pcrlog import limits
from pcrlog.authority import Authority
from pcrlog.encoding import encode_base64
from pcrlog.entry import Entry, parse_leaf
from pcrlog.errors import MalformedError, UncheckedError
from pcrlog.predicates import Audit, Identity, Release, Revocation
from pcrlog.seal import Seal

_ENTRIES = 1000
"""Read for what the log holds about a release: here is room for one that is long."""


class Signer(Struct, frozen=True):
    """Who signed: the key, what it is today, the signature in base64."""

    keyid: str
    owner: str
    kind: str
    status: str
    signature: str


class Download(Struct, frozen=True):
    """A bundle: its path below the log's root, a file's name, and what it is."""

    path: str
    name: str
    words: str


def page(desk: Desk, reading: Reading, index: int) -> Response:
    """The page of an entry.

    Raises:
        NoEntryError: there is none.
    """
    leaf = reading.leaf(index)
    shared = {
        "index": index,
        "size": reading.size,
        "sealed": reading.sealed(index),
        "now": desk.now(),
        "commands": [f"pcrlog show {index} --policy policy.toml"],
    }
    try:
        found = parse_leaf(index, leaf)
    except (MalformedError, UncheckedError) as error:
        return desk.render.page("entry", **shared | _unread(leaf, str(error)))
    if isinstance(found, Seal):
        return desk.render.page("entry", **shared | _seal(found, leaf))
    return desk.render.page("entry", **shared | _statement(desk, reading, found))


def _nothing() -> dict[str, object]:
    return {
        "against": (),
        "facts": (),
        "judged": None,
        "signers": (),
        "sha256": "",
        "bundles": (),
    }


def _unread(leaf: bytes, problem: str) -> dict[str, object]:
    return _nothing() | {
        "kind": "unknown",
        "headline": "A leaf that this version cannot read",
        "against": (problem,),
        "signed": leaf.decode("utf-8", "replace"),
    }


def _seal(seal: Seal, leaf: bytes) -> dict[str, object]:
    last = " for the last time" if seal.frozen else ""
    return _nothing() | {
        "kind": "seal",
        "headline": f"The log sealed {number(seal.count)} entries{last}",
        "facts": facts_of_seal(seal),
        "signed": leaf.decode("ascii"),
    }


def _statement(desk: Desk, reading: Reading, entry: Entry) -> dict[str, object]:
    said = entry.predicate
    judged = None
    if isinstance(said, Release):
        judged = judge(reading, entry, said, desk.now(), _ENTRIES)
    name = said.name if isinstance(said, Identity) else said.issuer
    keyring = Keyring.read(reading, [name])
    shown: dict[str, object] = {
        "kind": kind_of(entry),
        "headline": title(entry),
        "against": tuple(_against(reading, entry, judged, keyring.authority)),
        "facts": facts_of(entry, reading),
        "judged": judged,
        "release": said if isinstance(said, Release) else None,
        "measurements": entry.statement.measurements,
        "signers": [_signer(one, entry, keyring) for one in entry.envelope.signatures],
        "sha256": entry.sha256,
        "signed": entry.envelope.payload.decode("ascii"),
        "bundles": tuple(_bundles(entry, judged)),
    }
    return _nothing() | shown


def _against(
    reading: Reading, entry: Entry, judged: Judged | None, authority: Authority
) -> list[str]:
    """Why it no longer stands, in sentences."""
    found = []
    said = entry.predicate
    if authority.is_void(entry):
        found.append(
            "It speaks for nothing any more: its key was declared compromised, or had"
            " lost its standing. What it says against something is kept."
        )
    if judged is not None and judged.against:
        found.append(f"{judged.against[:1].upper()}{judged.against[1:]}.")
    if isinstance(said, Audit):
        found += [
            f"Its auditor took it back as {revocation.reason} (entry {index})."
            for index, revocation in reading.revocations_of(entry)
        ]
    return found


def _signer(keyid: str, entry: Entry, keyring: Keyring) -> Signer:
    key = keyring.keys.get(keyid)
    signature = encode_base64(entry.envelope.signatures[keyid])
    if key is None:
        return Signer(keyid, "", "not known", "not listed by any identity", signature)
    return Signer(keyid, key.owner, key.algorithm, key.status, signature)


def _bundles(entry: Entry, judged: Judged | None) -> list[Download]:
    said = entry.predicate
    if isinstance(said, Identity):
        asked = {"identity": said.name}
        return [_lookup(asked, said.name, "Bundle: all identities of this name")]
    if isinstance(said, Release) and judged is not None:
        auditors = judged.auditors[: limits.AUDITORS_OF_PRODUCT]
        rows = [("product", said.product)]
        rows += [
            ("measurement", f"{said.platform}/{m}")
            for m in entry.statement.measurements
        ]
        rows += [("auditor", name) for name in auditors]
        path = f"api/v1/bundle?{urlencode(rows)}"
        name = f"{said.product.replace('/', '-')}-{said.version}.bundle"
        return [Download(path, name, "Bundle: all that a verification asks")]
    if isinstance(said, Audit | Revocation) and said.platform != "source":
        return [
            _lookup(
                {"measurement": f"{said.platform}/{m}"}, f"entry-{entry.index}", words
            )
            for m in entry.statement.measurements
            for words in ("Bundle: all releases of this measurement",)
        ]
    return [
        _lookup({"issuer": said.issuer}, said.issuer, "Bundle: what its issuer said")
    ]


def _lookup(asked: dict[str, str], name: str, words: str) -> Download:
    return Download(f"api/v1/lookup?{urlencode(asked)}", f"{name}.bundle", words)
