r"""C2SP tlog-policy: which logs and witnesses somebody trusts, and how many of them.

`EXAMPLE` below is an example. A file of octets, its lines ended by LF, the words of a
line parted by spaces and tabs alone; a line that begins with `#` is a comment
(FORMATS.md section 4.3):

    log <vkey> [<url>]                      type 0x01; any one of them may sign
    witness <name> <vkey> [<url>]           type 0x04
    group <name> <k, any or all> <name>...  so many of these, defined above
    quorum <name or none>                   exactly once

Names are octets and mean nothing outside of the file. A name is a member once, and a
key stands once, whatever it is called: nobody counts twice.

What it demands is read here as one flat rule, `least` of `keys`, since policies of ours
know no other. A quorum of groups of groups is refused: no flat rule says the same. URLs
are the log's business, and only have to be there in their place.

>>> policy = TlogPolicy.parse(EXAMPLE.encode())
>>> policy.least, [key.name for key in policy.keys]
(1, ['w1.example/a', 'w2.example/a'])
"""

import re

from msgspec import Struct

from pcrlog.encoding import parse_decimal, shown
from pcrlog.errors import MalformedError
from pcrlog.note import COSIGNATURE, ED25519, VerifierKey

EXAMPLE = """\
# Whom we trust.
log PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW https://x.com

witness one w1.example/a+d41e9006+BOctVDQwVW+5d5UVLgg8041gWp+vLcKg2AiGVfg0Hg6e
witness two w2.example/a+b570cc54+BGuu2dmQRbRtfKAkeoVE+l2YYMx2fCHop8xpUPt1Fek/
group either any one two
quorum either
"""

_MOST = 256
"""Logs, witnesses and groups: as many of each. C2SP wants at least 32."""
_COMMENT, _NONE = b"#", b"none"
_FORBIDDEN = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")


class TlogPolicy(Struct, frozen=True):
    """Any one of `logs` must sign, at least `least` of `keys` cosign.

    `quorum none` is 0 of no keys. There may be no logs: then another place names them.
    """

    logs: tuple[VerifierKey, ...]
    least: int
    keys: tuple[VerifierKey, ...]

    @classmethod
    def parse(cls, data: bytes) -> "TlogPolicy":
        """Read a policy file.

        Raises:
            MalformedError: not of its form, a key or a member that stands twice, or a
                quorum that no flat rule can say.
        """
        strange = _FORBIDDEN.search(data)
        if strange or (data and not data.endswith(b"\n")):
            message = "expected lines without control characters, each ended by LF"
            raise MalformedError(message)
        reader = _Reader()
        for number, line in enumerate(data.split(b"\n"), 1):
            words = re.findall(rb"[^ \t]+", line)
            if not words or words[0].startswith(_COMMENT):
                continue
            try:
                reader.take(words)
            except MalformedError as error:
                message = f"line {number}: {error}"
                raise MalformedError(message) from error
        return reader.policy()


class _Group(Struct, frozen=True):
    """So many of `members`, which have these names."""

    least: int
    members: tuple[bytes, ...]


class _Reader:
    """What the lines have said so far."""

    def __init__(self) -> None:
        self._logs: list[VerifierKey] = []
        self._witnesses: dict[bytes, VerifierKey] = {}
        self._groups: dict[bytes, _Group] = {}
        self._members: set[bytes] = set()
        self._quorum: bytes | None = None

    def take(self, words: list[bytes]) -> None:
        """Heed one line's words, of which there is at least one."""
        takes = {
            b"log": self._log,
            b"witness": self._witness,
            b"group": self._group,
            b"quorum": self._take_quorum,
        }.get(words[0])
        if takes is None:
            known = "log, witness, group or quorum"
            message = f"expected {known}, found {shown(words[0])}"
            raise MalformedError(message)
        takes(words[1:])

    def policy(self) -> TlogPolicy:
        """All of it, once the last line is heeded."""
        name = self._quorum
        if name is None:
            message = "expected one line `quorum <name>`, found none"
            raise MalformedError(message)
        logs = tuple(self._logs)
        if name == _NONE:
            return TlogPolicy(logs, 0, ())
        group = self._groups.get(name, _Group(1, (name,)))
        nested = [one for one in group.members if one not in self._witnesses]
        if nested:
            message = (
                f"the quorum rests on a group of groups ({shown(nested[0])}), and only"
                " k of n witnesses can be taken over. Name the witnesses in one group"
            )
            raise MalformedError(message)
        keys = tuple(self._witnesses[one] for one in group.members)
        return TlogPolicy(logs, group.least, keys)

    def _log(self, words: list[bytes]) -> None:
        vkey = _some(words, 1, 2, "log <vkey> [<url>]")[0]
        self._logs.append(_key(vkey, ED25519, self._logs))

    def _witness(self, words: list[bytes]) -> None:
        name, vkey, *_ = _some(words, 2, 3, "witness <name> <vkey> [<url>]")
        key = _key(vkey, COSIGNATURE, list(self._witnesses.values()))
        self._check_new(name)
        self._witnesses[name] = key

    def _group(self, words: list[bytes]) -> None:
        name, least, *members = _some(
            words, 3, 2 + _MOST, "group <name> <k, any or all> <member>..."
        )
        self._check_new(name)
        if len(self._groups) >= _MOST:
            message = f"more than {_MOST} groups"
            raise MalformedError(message)
        for member in members:
            self._check_defined(member)
            if member in self._members:
                message = f"{shown(member)} is a member already; once is all it counts"
                raise MalformedError(message)
            self._members.add(member)
        self._groups[name] = _Group(_least(least, len(members)), tuple(members))

    def _take_quorum(self, words: list[bytes]) -> None:
        [name] = _some(words, 1, 1, "quorum <name>")
        if self._quorum is not None:
            message = "a second quorum line"
            raise MalformedError(message)
        if name != _NONE:
            self._check_defined(name)
        self._quorum = name

    def _check_new(self, name: bytes) -> None:
        if name == _NONE or name in self._witnesses or name in self._groups:
            message = f"the name {shown(name)} is taken"
            raise MalformedError(message)

    def _check_defined(self, name: bytes) -> None:
        if name not in self._witnesses and name not in self._groups:
            message = f"{shown(name)} is no witness or group of a line above"
            raise MalformedError(message)


def _some(words: list[bytes], least: int, most: int, form: str) -> list[bytes]:
    if least <= len(words) <= most:
        return words
    message = f"expected `{form}`, found {len(words)} words after the first"
    raise MalformedError(message)


def _key(vkey: bytes, kind: int, others: list[VerifierKey]) -> VerifierKey:
    # Bytes that are no UTF-8 become what no name may hold.
    key = VerifierKey.parse(vkey.decode("utf-8", "surrogateescape"))
    if key.kind != kind:
        message = f"{key.name}: expected a key of type {kind:#04x}, found {key.kind}"
        raise MalformedError(message)
    if any(key.public == one.public for one in others):
        message = f"{key.name}: its key stands twice; under any name it counts once"
        raise MalformedError(message)
    if len(others) >= _MOST:
        message = f"more than {_MOST} keys of type {kind:#04x}"
        raise MalformedError(message)
    return key


def _least(word: bytes, members: int) -> int:
    """The number of members that a group's `k`, `any` or `all` means."""
    if word in (b"any", b"all"):
        return 1 if word == b"any" else members
    least = parse_decimal(word.decode("latin-1"), members)
    if not least:
        message = "a group of which 0 must cosign"
        raise MalformedError(message)
    return least
