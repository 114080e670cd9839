"""The tree, its files, the index trie, checkpoints, proof files (sections 3 and 7)."""

from typing import Any

from pcrlog import limits, merkle, trie
from pcrlog.checkpoint import cosign
from pcrlog.encoding import encode_base64, sha256
from pcrlog.index_keys import key_hash
from pcrlog.note import NoteSigner, UnverifiedNote
from pcrlog.proof import Proof
from pcrlog.tiles import encode_bundle
from tests.conformance.family import Family
from tests.support.memory_log import START, MemoryLog, witness

_LEAVES = [b"leaf %d" % number for number in range(13)]
_HASHES = [merkle.leaf_hash(leaf) for leaf in _LEAVES]


def _node(level: int, index: int) -> bytes:
    start = index << level
    return merkle.root(_HASHES[start : start + (1 << level)])


def tree() -> Family:
    """The Merkle tree (7.4)."""
    family = Family("tree", "Roots, inclusion and consistency (section 7.4).")
    for size in (0, 1, 2, 3, 4, 5, 8, 13):
        root = merkle.root(_HASHES[:size])
        family.case(
            f"root-{size}",
            "H(00 entry), H(01 left right), split at the largest power of two below n",
            "root",
            {"root": encode_base64(root)},
            leaves=_LEAVES[:size],
        )
    for index, size in ((0, 1), (0, 2), (1, 3), (2, 3), (5, 8), (6, 7), (12, 13)):
        proof = list(merkle.prove_inclusion(index, size, _node))
        _inclusions(family, index, size, proof)
    for old, new in ((1, 1), (1, 2), (2, 3), (3, 7), (4, 7), (6, 8), (8, 13), (13, 13)):
        _consistencies(family, old, new)
        if old < new:
            _consistency_roots(family, old, new)
    return family


def _inclusions(family: Family, index: int, size: int, proof: list[bytes]) -> None:
    root, leaf = merkle.root(_HASHES[:size]), _HASHES[index]
    name, why = f"inclusion-{index}-of-{size}", "RFC 9162 2.1.3.2"
    given = {"leaf_hash": leaf, "index": index, "size": size, "root": root}
    family.case(name, why, "inclusion", {}, proof=proof, **given)
    wrong = {
        "another-leaf": {**given, "leaf_hash": bytes(32)},
        "another-root": {**given, "root": bytes(32)},
    }
    for word, changed in wrong.items():
        why = "leads to another root"
        family.case(
            f"{name}-{word}", why, "inclusion", "refused", proof=proof, **changed
        )
    why = "a proof has exactly the length that index and size give it"
    longer = [*proof, bytes(32)]
    family.case(f"{name}-longer", why, "inclusion", "refused", proof=longer, **given)
    if proof:
        family.case(
            f"{name}-shorter", why, "inclusion", "refused", proof=proof[1:], **given
        )
        why, broken = "hashes of exactly 32 bytes", [proof[0][:31], *proof[1:]]
        family.case(
            f"{name}-31-bytes", why, "inclusion", "refused", proof=broken, **given
        )
    beyond = {**given, "index": size}
    why = "a tree of n leaves has no leaf n"
    family.case(f"{name}-beyond", why, "inclusion", "refused", proof=proof, **beyond)


def _consistencies(family: Family, old: int, new: int) -> None:
    proof = list(merkle.prove_consistency(old, new, _node))
    roots = {
        "old_root": merkle.root(_HASHES[:old]),
        "new_root": merkle.root(_HASHES[:new]),
    }
    given = {"old": old, "new": new, **roots}
    name = f"consistency-{old}-{new}"
    family.case(name, "RFC 9162 2.1.4.2", "consistency", {}, proof=proof, **given)
    for word in ("old_root", "new_root"):
        wrong = {**given, word: bytes(32)}
        why = "leads to another root"
        family.case(
            f"{name}-another-{word.replace('_', '-')}",
            why,
            "consistency",
            "refused",
            proof=proof,
            **wrong,
        )
    why = "exactly its length; between equal sizes empty"
    longer = [*proof, bytes(32)]
    family.case(f"{name}-longer", why, "consistency", "refused", proof=longer, **given)
    back = {"old": new + 1, "new": new, **roots}
    why = "a tree does not shrink"
    family.case(f"{name}-shrinks", why, "consistency", "refused", proof=proof, **back)
    if old == 1:
        why = "from size 0 nothing is proven"
        zero = {"old": 0, "new": new, **roots}
        family.case(f"{name}-from-0", why, "consistency", "refused", proof=[], **zero)


def _consistency_roots(family: Family, old: int, new: int) -> None:
    roots = {
        "old_root": merkle.root(_HASHES[:old]),
        "new_root": merkle.root(_HASHES[:new]),
    }
    hashes = list(merkle.prove_consistency(old, new, _node))
    if old.bit_count() == 1:
        hashes.insert(0, roots["old_root"])
    given: dict[str, Any] = {"op": "consistency-roots", "old": old, "new": new}
    name = f"consistency-roots-{old}-{new}"
    why = "the hashes of a proof, led by the old root of a power of two: both roots"
    family.case(name, why, expect=roots, proof=hashes, **given)
    why = "exactly as many as the sizes make it"
    wrong = {"longer": [*hashes, bytes(32)], "shorter": hashes[1:], "none": []}
    for word, proof in wrong.items():
        family.case(f"{name}-{word}", why, expect="refused", proof=proof, **given)
    why, broken = "hashes of exactly 32 bytes", [*hashes[:-1], hashes[-1][:31]]
    family.case(f"{name}-31-bytes", why, expect="refused", proof=broken, **given)
    same, none = {**given, "new": old}, {**given, "old": 0}
    for word, asked in (("same-size", same), ("from-0", none)):
        why = "neither from size 0 nor to the same"
        family.case(f"{name}-{word}", why, expect="refused", proof=hashes, **asked)


def files() -> Family:
    """Tiles and entry bundles (7.5)."""
    family = Family("files", "Paths of tiles, and entry bundles (section 7.5).")
    for path, level, index, width in (
        ("tile/0/000", 0, 0, 256),
        ("tile/7/001", 7, 1, 256),
        ("tile/0/x001/x234/067", 0, 1234067, 256),
        ("tile/1/x123/456.p/255", 1, 123456, 255),
        ("tile/entries/000.p/1", "entries", 0, 1),
        ("tile/entries/x001/000", "entries", 1000, 256),
    ):
        wanted = {"level": level, "index": index, "width": width}
        name = path.replace("/", "-").replace(".", "-")
        family.case(name, "groups of three digits", "tile", wanted, path=path)
    for name, path in (
        ("level-8", "tile/8/000"),
        ("level-leading-zero", "tile/00/000"),
        ("two-digits", "tile/0/00"),
        ("no-x", "tile/0/001/234"),
        ("leading-group-of-zeros", "tile/0/x000/001"),
        ("width-0", "tile/0/000.p/0"),
        ("width-256", "tile/0/000.p/256"),
        ("width-leading-zero", "tile/0/000.p/01"),
        ("dots", "tile/0/../000"),
        ("leading-slash", "/tile/0/000"),
        ("last-x", "tile/0/x001"),
        ("arabic-digits", "tile/0/\u0660\u0660\u0660"),
        ("line-feed", "tile/0/000\n"),
        ("no-tile", "checkpoint"),
    ):
        family.case(
            name, "other spellings are no paths", "tile", "malformed", path=path
        )
    data = encode_bundle([b"a", b"", b"c" * 300])
    found = {"entries": [encode_base64(one) for one in (b"a", b"", b"c" * 300)]}
    why = "a u16, big-endian, and so many bytes; exactly W"
    family.case("entries", why, "entry-bundle", found, data=data, width=3)
    for name, wrong, width in (
        ("entries-too-few", data, 4),
        ("entries-too-many", data, 2),
        ("entries-cut", data[:-1], 3),
        ("entries-cut-in-a-length", data[:1], 1),
        ("entries-trailing", data + b"\0", 3),
    ):
        family.case(name, why, "entry-bundle", "malformed", data=wrong, width=width)
    return family


def index_trie() -> Family:
    """The index trie (section 3)."""
    family = Family("trie", "The verifiable map behind the index (section 3).")
    whole: dict[str, list[int]] = {
        f"v1/issuer/{name}.example": [n, n + 7] for n, name in enumerate("abcdefgh")
    }
    grown = trie.MemoryTrie()
    why = "shape and bytes depend on the set of keys alone"
    for count in range(len(whole) + 1):
        some = dict(list(whole.items())[:count])
        values = {key_hash(key): trie.value_of(found) for key, found in some.items()}
        one = trie.MemoryTrie()
        one.update(values)
        wanted = {"root": encode_base64(one.root)}
        family.case(f"root-{count}", why, "trie-root", wanted, map=some)
        grown = one
    key, indices = "v1/issuer/c.example", whole["v1/issuer/c.example"]
    proof = grown.prove(key_hash(key))
    given = {"root": grown.root, "key": key_hash(key), "indices": indices}
    family.case(
        "presence", "the path from leaf to root", "presence", {}, proof=proof, **given
    )
    first = 33 if proof[0] < 0x80 else 34
    swapped = proof[first:] + proof[:first]
    for name, why, word, changed in (
        (
            "presence-of-fewer",
            "the value hashes all indices",
            "refused",
            {**given, "indices": indices[:1], "proof": proof},
        ),
        (
            "presence-of-more",
            "the value hashes all indices",
            "refused",
            {**given, "indices": [*indices, 99], "proof": proof},
        ),
        (
            "presence-another-key",
            "the key's bits say on which side",
            "refused",
            {**given, "key": key_hash("v1/issuer/x.example"), "proof": proof},
        ),
        (
            "presence-another-root",
            "it ends in the root",
            "refused",
            {**given, "root": bytes(32), "proof": proof},
        ),
        (
            "presence-cut",
            "a step is a bit and 32 bytes",
            "malformed",
            {**given, "proof": proof[:-1]},
        ),
        (
            "presence-step-lacking",
            "it ends in the root",
            "refused",
            {**given, "proof": proof[first:]},
        ),
        (
            "presence-bits-ascending",
            "bits strictly decrease",
            "malformed",
            {**given, "proof": swapped},
        ),
        (
            "presence-bit-in-two-bytes",
            "uvarint is minimal",
            "malformed",
            {**given, "proof": bytes([proof[0] | 0x80, 0]) + proof[1:]},
        ),
    ):
        family.case(name, why, "presence", word, **changed)
    _absences(family, grown, proof)
    return family


def _absences(family: Family, grown: trie.MemoryTrie, presence: bytes) -> None:
    lacking = key_hash("v1/issuer/nobody.example")
    proof = grown.prove(lacking)
    given = {"root": grown.root, "key": lacking}
    why = "another leaf, which the absent key would have to share a path with"
    family.case("absence", why, "absence", {}, proof=proof, **given)
    there = key_hash("v1/issuer/c.example")
    another = next(
        grown.prove(key_hash(key))
        for key in (f"v1/issuer/{letter}.example" for letter in "uvwxyz")
        if grown.prove(key_hash(key))[:67] != proof[:67]
    )
    single = trie.MemoryTrie()
    single.update({there: trie.value_of([1])})
    for name, why, word, changed in (
        (
            "absence-of-what-is-there",
            "the other key is not the absent one",
            "refused",
            {
                **given,
                "key": there,
                "proof": b"\x20" + there + b"\x20" + trie.value_of([2, 9]) + presence,
            },
        ),
        (
            "absence-elsewhere",
            "both have the same bit at every step",
            "refused",
            {**given, "proof": another},
        ),
        (
            "absence-empty-proof",
            "the proof is empty for the empty trie alone",
            "refused",
            {**given, "proof": b""},
        ),
        (
            "absence-another-root",
            "the path ends in the root",
            "refused",
            {**given, "root": bytes(32), "proof": proof},
        ),
        (
            "absence-of-a-31-byte-key",
            "keys and values are exactly 32 bytes",
            "malformed",
            {**given, "proof": b"\x1f" + proof[1:]},
        ),
        (
            "absence-cut",
            "a leaf, and steps of a bit and 32 bytes",
            "malformed",
            {**given, "proof": proof[:-1]},
        ),
    ):
        family.case(name, why, "absence", word, **changed)
    why = "for the empty trie the proof is empty"
    family.case(
        "absence-from-nothing",
        why,
        "absence",
        {},
        root=trie.EMPTY_ROOT,
        key=lacking,
        proof=b"",
    )
    why = "for a trie of one leaf the path is empty"
    family.case(
        "absence-beside-one",
        why,
        "absence",
        {},
        root=single.root,
        key=lacking,
        proof=single.prove(lacking),
    )
    family.case(
        "presence-of-one",
        why,
        "presence",
        {},
        root=single.root,
        key=there,
        indices=[1],
        proof=b"",
    )


def checkpoints() -> Family:
    """Notes, checkpoints, cosignatures, proof files (7.1, 7.2, 7.3, 7.6)."""
    about = "Signed notes, checkpoints, cosignatures, proof files (section 7)."
    family = Family("checkpoints", about)
    signer = NoteSigner("log.example/pcr", bytes(32))
    vkey = str(signer.public)
    root = encode_base64(bytes(range(32)))
    text = f"log.example/pcr\n7\n{root}\n"
    note = bytes(signer.sign(text))
    wanted = {"origin": "log.example/pcr", "size": 7, "root": root}
    family.case("signed", "three lines", "checkpoint", wanted, note=note, vkey=vkey)
    _notes(family, signer, text, note)
    for name, why, body in (
        ("extension-line", "three lines, and never more", text + "x\n"),
        ("two-lines", "three lines", "log.example/pcr\n7\n"),
        (
            "size-with-zero",
            "decimals without leading zeros",
            text.replace("\n7\n", "\n07\n"),
        ),
        (
            "size-too-large",
            "at most 2^63-1",
            text.replace("\n7\n", f"\n{limits.TREE_SIZE + 1}\n"),
        ),
        (
            "root-of-31-bytes",
            "the 32-byte root",
            f"log.example/pcr\n7\n{encode_base64(bytes(31))}\n",
        ),
    ):
        signed = bytes(signer.sign(body))
        family.case(name, why, "checkpoint", "malformed", note=signed, vkey=vkey)
    other = bytes(signer.sign(text.replace("log.example/pcr", "log.example/other")))
    why = "the origin is the name of the log's key"
    family.case("another-origin", why, "checkpoint", "refused", note=other, vkey=vkey)
    largest = text.replace("\n7\n", f"\n{limits.TREE_SIZE}\n")
    wanted = {"size": limits.TREE_SIZE}
    signed = bytes(signer.sign(largest))
    family.case(
        "largest", "at most 2^63-1", "checkpoint", wanted, note=signed, vkey=vkey
    )
    _cosignatures(family, signer, text)
    _proofs(family)
    return family


def _notes(family: Family, signer: NoteSigner, text: str, note: bytes) -> None:
    vkey, line = str(signer.public), note[len(text) + 1 :]
    stranger = bytes(NoteSigner("x.example", bytes(32)).sign(text))[len(text) + 1 :]
    forged = bytes(NoteSigner("log.example/pcr", b"\1" * 32).sign(text))
    wrong = line[:-9] + (
        b"AAAAAAA=\n" if not line.endswith(b"AAAAAAA=\n") else b"BBBBBBA=\n"
    )
    family.case(
        "line-of-a-stranger",
        "lines of unknown keys are ignored",
        "checkpoint",
        {"size": 7},
        note=note + stranger,
        vkey=vkey,
    )
    for name, why, word, data in (
        (
            "unsigned",
            "a note has at least one line",
            "malformed",
            text.encode() + b"\n",
        ),
        (
            "signed-by-a-stranger",
            "the log's key must have signed it",
            "refused",
            text.encode() + b"\n" + stranger,
        ),
        (
            "same-name-another-key",
            "name and key hash together choose the key",
            "refused",
            forged,
        ),
        ("one-of-two-wrong", "every line of the key verifies", "refused", note + wrong),
        (
            "text-changed",
            "the signature is over the text",
            "refused",
            note.replace(b"\n7\n", b"\n8\n"),
        ),
        ("no-blank-line", "text, LF, lines", "malformed", text.encode() + line),
        (
            "hyphen",
            "a line begins with an em dash and a space",
            "malformed",
            note.replace("— ".encode(), b"- "),
        ),
        ("no-last-line-feed", "each line ends in LF", "malformed", note[:-1]),
        (
            "text-among-lines",
            "anything else makes the note malformed",
            "malformed",
            note + b"x\n",
        ),
        (
            "carriage-return",
            "no bytes below 0x20 but LF",
            "malformed",
            note.replace(b"\n7\n", b"\r\n7\n"),
        ),
        ("not-utf-8", "UTF-8", "malformed", b"\xff" + note),
        (
            "hash-alone",
            "at least one byte after the key hash",
            "malformed",
            text.encode() + b"\n" + "— x.example AAAAAA==\n".encode(),
        ),
        ("lines-65", "at most 64 lines", "malformed", note + stranger * 64),
        (
            "bytes-65537",
            "at most 64 KiB",
            "malformed",
            b"x" * (limits.NOTE + 1 - len(note)) + note,
        ),
    ):
        family.case(name, why, "checkpoint", word, note=data, vkey=vkey)
    family.case(
        "lines-64",
        "at most 64 lines",
        "checkpoint",
        {"size": 7},
        note=note + stranger * 63,
        vkey=vkey,
    )
    for length in (255, 256):
        named = f"— {'a' * length} {encode_base64(bytes(8))}\n".encode()
        expect: str | dict[str, int] = {"size": 7} if length == 255 else "malformed"
        family.case(
            f"name-of-{length}-bytes",
            "a name is 1 to 255 bytes",
            "checkpoint",
            expect,
            note=note + named,
            vkey=vkey,
        )
    weak = bytes([1]) + b"\1" + bytes(31)
    point = sha256(b"log.example/pcr\n" + weak)[:4].hex()
    for name, bad in (
        ("vkey-of-small-order", f"log.example/pcr+{point}+{encode_base64(weak)}"),
        ("vkey-hash", vkey.replace(vkey.split("+")[1], "00000000")),
        ("vkey-name", vkey.replace("log.example", "log example", 1)),
        (
            "vkey-type",
            vkey[: vkey.index("+A") + 1] + "B" + vkey[vkey.index("+A") + 2 :],
        ),
        ("vkey-short", vkey[:-4]),
    ):
        why = "a vkey with another key hash, or not of its form, is refused"
        family.case(name, why, "checkpoint", "malformed", note=note, vkey=bad)


def _cosignatures(family: Family, signer: NoteSigner, text: str) -> None:
    one, two = witness("w1.example"), witness("w2.example")
    cosigners, vkey = [str(one.public), str(two.public)], str(signer.public)

    def note(*lines: object) -> bytes:
        signed = signer.sign(text)
        return bytes(UnverifiedNote(text, (*signed.lines, *lines)))  # type: ignore[arg-type] # signature lines

    good = cosign(text, one, START)
    later = cosign(text, one, START + 9)
    elsewhere = cosign(text.replace("\n7\n", "\n8\n"), one, START)
    plain = one.line(one.raw(text.encode()))
    early, last = cosign(text, one, 0), cosign(text, one, limits.COSIGNATURE_TIME)
    never = cosign(text, one, limits.COSIGNATURE_TIME + 1)
    for name, why, lines, times in (
        ("cosigned", "u64 seconds and a signature over cosignature/v1", [good], START),
        (
            "cosigned-twice",
            "of several by one key, the newest",
            [later, good],
            START + 9,
        ),
        ("cosigned-in-1970", "any time up to 2^63-1", [early], 0),
        ("cosigned-at-2-63", "up to 2^63-1", [last], limits.COSIGNATURE_TIME),
        ("cosigned-beyond-2-63", "a later time is no cosignature", [never], None),
        (
            "cosigned-another-checkpoint",
            "one that does not verify is none",
            [elsewhere],
            None,
        ),
        ("cosigned-without-time", "8 + 64 bytes", [plain], None),
        ("cosigned-by-nobody", "no line of the key", [], None),
    ):
        family.case(
            name,
            why,
            "checkpoint",
            {"cosigned": [times, None]},
            note=note(*lines),
            vkey=vkey,
            cosigners=cosigners,
        )


def _proofs(family: Family) -> None:
    log = MemoryLog()
    log.enroll("acme.example", "provider")
    log.seal()
    leaf, vkey = log.leaves[1], str(log.signer.public)
    size = len(log.leaves)
    hashes = merkle.prove_inclusion(1, size, log.node)
    data = Proof(1, hashes, log.note).encode()
    given = {"leaf": leaf, "vkey": vkey}
    why = "index, path, blank line, the checkpoint note"
    family.case("proof", why, "proof", {"index": 1, "size": size}, proof=data, **given)
    head, rest = data.split(b"\n", 1)
    why = "an extra line before index is read and dropped"
    extra = head + b"\nextra AAAA\n" + rest
    family.case("proof-with-extra", why, "proof", {"index": 1}, proof=extra, **given)
    for name, why, word, wrong, entry in (
        (
            "proof-of-another-leaf",
            "leads to another root",
            "refused",
            data,
            log.leaves[0],
        ),
        (
            "proof-of-another-index",
            "leads to another root",
            "refused",
            data.replace(b"index 1", b"index 0"),
            leaf,
        ),
        (
            "proof-header",
            "its first line",
            "malformed",
            data.replace(b"@v1", b"@v2"),
            leaf,
        ),
        (
            "proof-index-with-zero",
            "decimals",
            "malformed",
            data.replace(b"index 1", b"index 01"),
            leaf,
        ),
        (
            "proof-without-note",
            "cut at the first blank line",
            "malformed",
            data.partition(b"\n\n")[0] + b"\n",
            leaf,
        ),
        (
            "proof-note-changed",
            "the log signed its checkpoint",
            "refused",
            data.replace(b"\n%d\n" % size, b"\n%d\n" % (size + 1)),
            leaf,
        ),
    ):
        family.case(name, why, "proof", word, proof=wrong, leaf=entry, vkey=vkey)


MAKERS = (tree, files, index_trie, checkpoints)
