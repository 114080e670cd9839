"""pcrlog's own answers to the conformance vectors: one function an operation.

The questions are those of tests/vectors, and docs/conformance.md is their
specification: JSON in, JSON out, byte strings in base64. What is well formed and true
is answered by what it says; what is not, by one word for its kind:

    malformed  not of its format, or not its one spelling (MalformedError)
    refused    well formed and false: a signature, a proof, a rule (VerificationError)
    unchecked  of a kind or version that is not known (UncheckedError)
    usage      a policy or key that makes no sense (UsageError)
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pcrlog import attestation, index_keys, merkle, tiles, trie
from pcrlog.authority import Authority, check_target
from pcrlog.bundle import Bundle
from pcrlog.checkpoint import cosignatures, open_checkpoint
from pcrlog.encoding import decode_base64, encode_base64
from pcrlog.entry import Entry, parse_entry
from pcrlog.errors import MalformedError, PcrlogError, UncheckedError, UsageError
from pcrlog.keys import PublicKey
from pcrlog.measurement import PLATFORMS
from pcrlog.note import UnverifiedNote, VerifierKey
from pcrlog.policy import Policy
from pcrlog.policy_update import follow
from pcrlog.proof import Proof
from pcrlog.request import Request
from pcrlog.seal import Seal
from pcrlog.statement import predicate_type_of
from pcrlog.verification import Memory, links, verify
from pcrlog.verification.checks import CHECKS, Demands, Recorder, verdict

Ask: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, Any]


def answer(ask: Ask) -> Answer:
    """`{"ok": ...}` or `{"error": word}`; `unsupported` is an operation not known."""
    operation = _OPERATIONS.get(str(ask.get("op")))
    if operation is None:
        return {"error": "unsupported"}
    try:
        return {"ok": operation(ask)}
    except PcrlogError as error:
        return {"error": _word(error)}


def _word(error: PcrlogError) -> str:
    if isinstance(error, MalformedError):
        return "malformed"
    if isinstance(error, UncheckedError):
        return "unchecked"
    return "usage" if isinstance(error, UsageError) else "refused"


def _base64(data: bytes | None) -> str | None:
    return None if data is None else encode_base64(data)


def _optional(ask: Ask, name: str) -> bytes | None:
    return decode_base64(ask[name]) if name in ask else None


def _hashes(ask: Ask, name: str = "proof") -> tuple[bytes, ...]:
    return tuple(map(decode_base64, ask[name]))


# --- leaves -----------------------------------------------------------------------


def _statement(ask: Ask) -> Answer:
    entry = parse_entry(0, decode_base64(ask["leaf"]))
    return {
        "sha256": entry.sha256,
        "type": predicate_type_of(entry.envelope.payload),
        "measurements": list(entry.statement.measurements),
        "signers": list(entry.envelope.signatures),
    }


def _index_keys(ask: Ask) -> Answer:
    keys = sorted(index_keys.index_keys(decode_base64(ask["leaf"])))
    return {"keys": keys, "hashes": [index_keys.key_hash(key).hex() for key in keys]}


def _seal(ask: Ask) -> Answer:
    seal = Seal.parse(decode_base64(ask["leaf"]))
    root = _base64(seal.root)
    return {
        "count": seal.count,
        "time": seal.time,
        "root": root,
        "frozen": seal.frozen,
    }


def _key(ask: Ask) -> Answer:
    key = PublicKey.from_spki(decode_base64(ask["spki"]))
    if "signature" in ask:
        key.verify(decode_base64(ask["signature"]), decode_base64(ask["message"]))
    return {"keyid": key.keyid, "algorithm": key.algorithm}


def _request(ask: Ask) -> Answer:
    request = Request.parse(decode_base64(ask["request"]))
    return {"log": request.log, "name": request.name, "keys": len(request.spki)}


def _authority(ask: Ask) -> Answer:
    """The forward pass, and then what is void with hindsight."""
    authority = Authority(ask["origin"])
    accepted: list[Entry] = []
    known: dict[str, Entry] = {}
    judged: dict[int, str] = {}
    for row in ask["entries"]:
        try:
            entry = parse_entry(row["index"], decode_base64(row["leaf"]))
            authority.accept(entry)
            check_target(entry, known)
        except PcrlogError as error:
            judged[row["index"]] = _word(error)
            continue
        known.setdefault(entry.sha256, entry)
        accepted.append(entry)
        judged[entry.index] = "accepted"
    for entry in accepted:
        if authority.is_void(entry):
            judged[entry.index] = "void"
    return {"entries": [judged[row["index"]] for row in ask["entries"]]}


# --- the log ----------------------------------------------------------------------


def _checkpoint(ask: Ask) -> Answer:
    note = UnverifiedNote.parse(decode_base64(ask["note"]))
    checkpoint = open_checkpoint(note, VerifierKey.parse(ask["vkey"]))
    cosigners = [VerifierKey.parse(one) for one in ask.get("cosigners", ())]
    times = cosignatures(note, cosigners)
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": _base64(checkpoint.root),
        "cosigned": [times.get(one) for one in cosigners],
    }


def _root(ask: Ask) -> Answer:
    leaves = [merkle.leaf_hash(leaf) for leaf in _hashes(ask, "leaves")]
    return {"root": _base64(merkle.root(leaves))}


def _inclusion(ask: Ask) -> Answer:
    leaf, root = decode_base64(ask["leaf_hash"]), decode_base64(ask["root"])
    merkle.check_inclusion(leaf, ask["index"], ask["size"], _hashes(ask), root)
    return {}


def _consistency(ask: Ask) -> Answer:
    old_root, new_root = decode_base64(ask["old_root"]), decode_base64(ask["new_root"])
    merkle.check_consistency(ask["old"], ask["new"], _hashes(ask), old_root, new_root)
    return {}


def _consistency_roots(ask: Ask) -> Answer:
    was, now = merkle.consistency_roots(ask["old"], ask["new"], _hashes(ask))
    return {"old_root": _base64(was), "new_root": _base64(now)}


def _tile(ask: Ask) -> Answer:
    tile = tiles.parse_path(ask["path"])
    level = "entries" if tile.level is None else tile.level
    return {"level": level, "index": tile.index, "width": tile.width}


def _entry_bundle(ask: Ask) -> Answer:
    entries = tiles.parse_bundle(decode_base64(ask["data"]), ask["width"])
    return {"entries": [_base64(entry) for entry in entries]}


def _trie_root(ask: Ask) -> Answer:
    grown = trie.MemoryTrie()
    grown.update(
        {index_keys.key_hash(key): trie.value_of(v) for key, v in ask["map"].items()}
    )
    return {"root": _base64(grown.root)}


def _presence(ask: Ask) -> Answer:
    value, proof = trie.value_of(ask["indices"]), decode_base64(ask["proof"])
    trie.check_presence(
        decode_base64(ask["root"]), decode_base64(ask["key"]), value, proof
    )
    return {}


def _absence(ask: Ask) -> Answer:
    root, key = decode_base64(ask["root"]), decode_base64(ask["key"])
    trie.check_absence(root, key, decode_base64(ask["proof"]))
    return {}


def _proof(ask: Ask) -> Answer:
    proof = Proof.parse(decode_base64(ask["proof"]))
    key = VerifierKey.parse(ask["vkey"])
    return {
        "index": proof.index,
        "size": proof.verify(decode_base64(ask["leaf"]), key).size,
    }


# --- verification -----------------------------------------------------------------


def _bundle(ask: Ask) -> Answer:
    bundle = Bundle.parse(decode_base64(ask["bundle"]))
    return {"answers": sorted(bundle.answers), "entries": sorted(bundle.entries)}


def _policy(ask: Ask) -> Answer:
    policy = Policy.parse(decode_base64(ask["policy"]))
    if "product" in ask:
        policy.product(ask["product"])
    return {"sha256": policy.sha256}


def _follow(ask: Ask) -> Answer:
    given = decode_base64(ask["policy"]), decode_base64(ask["updates"])
    policy = follow(*given, ask["now"]).policy
    return {"sha256": policy.sha256, "version": policy.version}


def _attestation(ask: Ask) -> Answer:
    trust = attestation.Trust(
        roots=tuple(_hashes(ask, "roots")),
        now=ask.get("now", 0),
        collateral=_optional(ask, "collateral"),
        tcb=tuple(ask.get("tcb", ("UpToDate",))),
        advisories=tuple(ask.get("advisories", ())),
    )
    data = attestation.decode_input(decode_base64(ask["document"]))
    name = ask.get("platform", "aws-nitro")
    document, unmade = attestation.genuine(name, data, trust)
    answer: Answer = {
        "time": document.time,
        "registers": dict(document.registers),
        "debug": bool(document.debug),
        "nonce": _base64(document.nonce),
        "user_data": _base64(document.user_data),
        "public_key": _base64(document.public_key),
    }
    if document.numbers:
        answer["numbers"] = dict(document.numbers)
    if PLATFORMS[name].checks:
        answer["unchecked"] = [one.check for one in unmade]
    return answer


def _verify(ask: Ask) -> Answer:
    bundle = ask.get("bundle")
    memory = ask.get("memory")
    report = verify(
        decode_base64(ask["attestation"]),
        None if bundle is None else decode_base64(bundle),
        Policy.parse(decode_base64(ask["policy"])),
        product=ask["product"],
        now=ask["now"],
        at=ask.get("at"),
        nonce=decode_base64(ask["nonce"]) if "nonce" in ask else None,
        binding={k: decode_base64(v) for k, v in ask.get("binding", {}).items()}
        or None,
        memory=None if memory is None else _memory(memory),
        collateral=_optional(ask, "collateral"),
    )
    return {
        "verdict": report.verdict,
        "trust_ends_at": report.trust_ends_at,
        "links": [link.status for link in report.links],
        "ground": report.ground,
        "version": report.version,
        "checks": {check.id: check.status for check in report.checks},
        "required": [check.id for check in report.checks if check.required],
    }


def _memory(memory: Ask) -> Memory:
    proof = None if memory.get("proof") is None else _hashes(memory)
    return Memory(decode_base64(memory["note"]), proof, memory.get("frozen", False))


def _link(ask: Ask) -> Answer:
    of = (
        links.attestation,
        links.provider,
        links.source,
        links.audit,
        links.platform,
        links.platform,
        links.controls,
    )
    status: Callable[..., links.Status] = of[ask["link"] - 1]
    return {"status": status(**ask["facts"])}


def _trust_ends_at(ask: Ask) -> Answer:
    return {"ends": links.trust_ends_at(ask["statuses"])}


def _verdict(ask: Ask) -> Answer:
    policy = ask.get("policy", {})
    demands = Demands(
        nonce=policy.get("nonce", "required") == "required",
        channel=policy.get("channel", "optional") == "required",
        witnesses=policy.get("witnesses") != "none",
        index_monitors=policy.get("index_monitors") != "none",
        links=tuple(policy.get("links", (1, 2))),
        components=policy.get("components", "refuse") == "refuse",
        archived=ask.get("mode", "live") == "archived",
        archives=policy.get("archives", False),
    )
    recorder = Recorder()
    for check in CHECKS:
        recorder.note(check, ask["checks"].get(check, "pass"), "", "")
    return {"verdict": verdict(list(recorder.checks(demands)), demands)}


_OPERATIONS: dict[str, Callable[[Ask], Answer]] = {
    "absence": _absence,
    "attestation": _attestation,
    "authority": _authority,
    "bundle": _bundle,
    "checkpoint": _checkpoint,
    "consistency": _consistency,
    "consistency-roots": _consistency_roots,
    "entry-bundle": _entry_bundle,
    "follow": _follow,
    "inclusion": _inclusion,
    "index-keys": _index_keys,
    "key": _key,
    "link": _link,
    "policy": _policy,
    "presence": _presence,
    "proof": _proof,
    "request": _request,
    "root": _root,
    "seal": _seal,
    "statement": _statement,
    "tile": _tile,
    "trie-root": _trie_root,
    "trust-ends-at": _trust_ends_at,
    "verdict": _verdict,
    "verify": _verify,
}
