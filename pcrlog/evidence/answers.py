"""What the log's own answers convict: a wrong one, an entry that nobody may make."""

from collections.abc import Iterator
from contextlib import suppress

from pcrlog import trie
from pcrlog.authority import Authority, check_target
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import Checkpoint
from pcrlog.entry import Entry, parse_entry, read_entry
from pcrlog.errors import MalformedError, VerificationError
from pcrlog.evidence.file import Unauthorised, WrongAnswer
from pcrlog.evidence.proven import Proven, nothing, opened, seal_of, single
from pcrlog.index_keys import by, index_keys, key_hash, keys_of_payload, of_identity
from pcrlog.merkle import check_inclusion, leaf_hash
from pcrlog.note import VerifierKey
from pcrlog.predicates import REGISTRAR, Identity, Revocation
from pcrlog.seal import Seal


def _sealed(bundle: Bundle, key: VerifierKey) -> tuple[Checkpoint, Seal]:
    """The checkpoint and seal of a bundle, whose entries are all in that tree.

    The seal may be any in the tree: it is as much the log's word as the last one.
    """
    checkpoint = opened(bundle.note, key)
    seal = seal_of(bundle.seal)
    size, root = checkpoint.size, checkpoint.root
    check_inclusion(leaf_hash(bundle.seal), seal.count, size, bundle.seal_proof, root)
    for index, entry in bundle.entries.items():
        leaf = leaf_hash(entry.envelope.raw)
        check_inclusion(leaf, index, size, entry.proof, root)
    return checkpoint, seal


def _listed(bundle: Bundle, seal: Seal, key: str) -> tuple[int, ...]:
    """All indices under a key: proven by the seal's root."""
    answer = bundle.answers.get(key)
    if answer is None:
        nothing(f"its bundle does not answer {key}")
    indices, hashed = answer.indices, key_hash(key)
    if indices:
        value = trie.value_of(indices)
        trie.check_presence(seal.root, hashed, value, answer.proof)
    else:
        trie.check_absence(seal.root, hashed, answer.proof)
    return indices


def wrong_answer(file: WrongAnswer, key: VerifierKey) -> Proven:
    """An answer that hides a leaf which has its key, or lists one that has not."""
    bundle = file.parsed()
    checkpoint, seal = _sealed(bundle, key)
    index, leaf = single(file.entry, checkpoint)
    keys = index_keys(leaf)
    asked = bundle.answers if index < seal.count else ()
    listed = {name: index in _listed(bundle, seal, name) for name in asked}
    wrong = [name for name, there in listed.items() if there != (name in keys)]
    if not wrong:
        nothing(f"no answer is wrong about leaf {index}")
    name = wrong[0]
    words = (
        "lists leaf {}, which has not" if listed[name] else "hides leaf {}, which has"
    )
    found = f"the index in seal {seal.count} {words.format(index)} the key {name}"
    return Proven("answer", key.name, found, (checkpoint,), (index,))


# --- authority -----------------------------------------------------------------------


def keys_to_judge(entry: Entry) -> tuple[str, ...]:
    """The index keys whose answers tell whether somebody may make an entry."""
    predicate = entry.predicate
    if isinstance(predicate, Identity):
        return tuple(map(of_identity, dict.fromkeys((REGISTRAR, predicate.name))))
    issuer = predicate.issuer
    keys = list(map(of_identity, dict.fromkeys((REGISTRAR, issuer))))
    if isinstance(predicate, Revocation) and predicate.statement is not None:
        measurements = entry.statement.measurements
        keys += [by(issuer, predicate.platform, one) for one in measurements]
    return tuple(keys)


def unauthorised(file: Unauthorised, key: VerifierKey) -> Proven:
    """An entry that nobody may make, by the identities that the log answers."""
    bundle = file.parsed()
    checkpoint, seal = _sealed(bundle, key)
    index, leaf = single(file.entry, checkpoint)
    if index > seal.count:
        nothing(f"seal {seal.count} answers for no leaves before {index}")
    try:
        accused = parse_entry(index, leaf)
    except MalformedError as error:
        nothing(str(error))
    identities = [name for name in bundle.answers if name.startswith(of_identity(""))]
    asked = dict.fromkeys((*keys_to_judge(accused), *identities))
    before = {
        place: entry
        for name in asked
        for place in _listed(bundle, seal, name)
        if place < index
        for entry in _read(bundle, place, name)
    }
    entries = [before[place] for place in sorted(before)]
    found = _refusal(accused, entries, checkpoint.origin)
    if found is None:
        nothing(f"entry {index} is made by who may make it")
    return Proven("authority", key.name, found, (checkpoint,), (index,))


def _read(bundle: Bundle, index: int, key: str) -> Iterator[Entry]:
    """The entry that an answer lists; none if it gives nobody anything."""
    included = bundle.entries.get(index)
    if included is None:
        nothing(f"its bundle lacks entry {index}")
    if key not in keys_of_payload(included.envelope.payload):
        nothing(f"entry {index} has not the key {key} that it is given for")
    try:
        yield read_entry(index, included.envelope)
    except MalformedError:
        return


def _refusal(accused: Entry, before: list[Entry], origin: str) -> str | None:
    """Why nobody may make an entry after those before it."""
    authority = Authority(origin)
    known: dict[str, Entry] = {}
    for entry in before:
        known.setdefault(entry.sha256, entry)
        if isinstance(entry.predicate, Identity):
            # Refused itself, it gives nobody anything.
            with suppress(VerificationError):
                authority.accept(entry)
    try:
        authority.accept(accused)
        check_target(accused, known)
    except VerificationError as error:
        return str(error)
    return None
