"""The bounds of PROTOCOL.md section 4: a log in use cannot change them."""

from pcrlog import limits

TABLE = {
    "ENVELOPE": 32 * 1024,
    "URI": 256,
    "NAME": 64,
    "SUBJECT_REGISTERS": 32,
    "REGISTER_NAME": 32,
    "COMPONENTS": 32,
    "COMPONENTS_IN_ALL": 64,
    "COMPONENT_DEPTH": 8,
    "CONTROLS": 32,
    "REFERENCES": 16,
    "TOOLS": 64,
    "NUMBERS": 16,
    "KEYS_OF_IDENTITY": 16,
    "AUDITORS_OF_PRODUCT": 8,
    "BASIS_CHAIN": 8,
    "STATEMENTS_PER_MEASUREMENT": 256,
    "ATTESTATION": 20 * 1024,
    "COLLATERAL": 256 * 1024,
    "BUNDLE": 1024 * 1024,
    "BUNDLE_ENTRIES": 1024,
    "BUNDLE_ANSWERS": 512,
    "POLICY": 256 * 1024,
    "POLICY_KEYS": 16,
    "UPDATES": 2 * 1024 * 1024,
    "UPDATE_STEPS": 128,
    "NOTE": 64 * 1024,
    "NOTE_SIGNATURES": 64,
    "PROOF_HASHES": 63,
    "TRIE_DEPTH": 256,
    "KEY_FILE": 16 * 1024,
    "SPKI": 512,
    "CONTROLS_REVIEW_DAYS": 90,
    "INTEGER": 9_007_199_254_740_991,
    "TREE_SIZE": 9_223_372_036_854_775_807,
    "COSIGNATURE_TIME": 9_223_372_036_854_775_807,
    "BRACKETS": 512,
}


def test_every_limit_is_the_protocols() -> None:
    found = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert found == TABLE
