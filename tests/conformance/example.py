"""One worked example, from a statement to the report, each step a case of its own.

Whoever begins an implementation begins here: a log of five leaves (registrar, provider,
auditor, release, seal) whose every byte the cases show, in the order in which they come
to be.
"""

from pcrlog import merkle
from pcrlog.encoding import encode_base64
from pcrlog.index_keys import index_keys, key_hash
from pcrlog.seal import Seal
from tests.conformance.family import Family, Stage
from tests.support.memory_log import MemoryLog
from tests.support.scene import GOOD, LAB, PRODUCT, PROVIDER


def example() -> Family:
    """The family."""
    about = "A log of five leaves, byte for byte, and a verification with it."
    family = Family("example", about)
    stage = Stage(MemoryLog())
    log = stage.log
    log.enroll(PROVIDER, "provider")
    log.enroll(LAB, "auditor")
    stage.release()
    stage.seal()
    leaf, vkey = log.leaves[3], str(log.signer.public)
    entry = log.entries[3]
    family.case(
        "1-release",
        "an envelope, the statement in it and its sha256",
        "statement",
        {
            "sha256": entry.sha256,
            "type": "urn:pcrlog:release:v1",
            "measurements": [f"PCR0={GOOD['PCR0']}"],
            "signers": [entry.keyid],
        },
        leaf=leaf,
    )
    keys = sorted(index_keys(leaf))
    family.case(
        "2-index-keys",
        "its keys in the index, and their hashes",
        "index-keys",
        {"keys": keys, "hashes": [key_hash(key).hex() for key in keys]},
        leaf=leaf,
    )
    entries = [{"index": i, "leaf": one} for i, one in enumerate(log.leaves[:4])]
    family.case(
        "3-who-may-say-it",
        "the forward pass over the four entries before the seal",
        "authority",
        {"entries": ["accepted"] * 4},
        origin=log.origin,
        entries=entries,
    )
    seal = Seal.parse(log.leaves[4])
    family.case(
        "4-index",
        "the whole index, and its root",
        "trie-root",
        {"root": encode_base64(seal.root)},
        map=log.index,
    )
    family.case(
        "5-seal",
        "the last leaf: four leaves before it, the time, that root",
        "seal",
        {"count": 4, "time": log.now, "root": encode_base64(seal.root)},
        leaf=log.leaves[4],
    )
    root = log.tree.root()
    family.case(
        "6-tree",
        "the root over the five leaves",
        "root",
        {"root": encode_base64(root)},
        leaves=log.leaves,
    )
    family.case(
        "7-inclusion",
        "the release is in it",
        "inclusion",
        {},
        leaf_hash=merkle.leaf_hash(leaf),
        index=3,
        size=5,
        proof=list(merkle.prove_inclusion(3, 5, log.node)),
        root=root,
    )
    family.case(
        "8-checkpoint",
        "which the log signs",
        "checkpoint",
        {"origin": log.origin, "size": 5, "root": encode_base64(root)},
        note=log.note,
        vkey=vkey,
    )
    waived = {"witnesses": "none", "index_monitors": "none"}
    auditors = [{"name": LAB, "scopes": ["reproduction"]}]
    policy = stage.policy(log=waived, product={"auditors": auditors})
    inputs = stage.inputs(auditors=[LAB], policy=policy)
    family.case(
        "9-bundle",
        "all that a verification asks of the log",
        "bundle",
        {"entries": [0, 1, 2, 3]},
        bundle=log.bundle(PRODUCT, GOOD, LAB).encode(),
    )
    why = "a document, that bundle and a policy: verified to link 2"
    family.run("10-verification", why, inputs, "verified", "ppcmmmm", "")
    return family


MAKERS = (example,)
