"""Every bound on input from outside, in one table (PROTOCOL.md section 4, Limits).

docs/protocol.md carries the same table; a test compares the two. Sizes are bytes
unless the name says otherwise.
"""

ENVELOPE = 32_768
URI = 256
NAME = 64
SUBJECT_REGISTERS = 32
REGISTER_NAME = 32
"""Characters of a register's name, but for identities, whose registers are keyids."""
COMPONENTS = 32
COMPONENTS_IN_ALL = 64
COMPONENT_DEPTH = 8
CONTROLS = 32
REFERENCES = 16
TOOLS = 64
NUMBERS = 16
KEYS_OF_IDENTITY = 16
AUDITORS_OF_PRODUCT = 8
BASIS_CHAIN = 8
STATEMENTS_PER_MEASUREMENT = 256
"""Releases and passes of one issuer about one measurement (admission only)."""
ATTESTATION = 20_480
COLLATERAL = 262_144
"""What a maker publishes of one of its machines (intel-sgx)."""
BUNDLE = 1_048_576
BUNDLE_ENTRIES = 1_024
BUNDLE_ANSWERS = 512
POLICY = 262_144
POLICY_KEYS = 16
"""Keys that may sign a policy's successor."""
UPDATES = 2_097_152
"""Bytes of a file of successors."""
UPDATE_STEPS = 128
NOTE = 65_536
NOTE_SIGNATURES = 64
PROOF_HASHES = 63
"""A tree of 2**63 leaves has inclusion proofs of 63 hashes; none is larger."""
TRIE_DEPTH = 256
"""A trie of 256-bit keys branches at most 256 times above one leaf."""
KEY_FILE = 16_384
SPKI = 512
CONTROLS_REVIEW_DAYS = 90
INTEGER = 2**53 - 1
"""The largest integer that every JSON implementation represents exactly."""
TREE_SIZE = 2**63 - 1
COSIGNATURE_TIME = 2**63 - 1
"""Unix seconds, as C2SP tlog-cosignature bounds them."""
BRACKETS = 512
"""Opening brackets and braces in an envelope or a payload, wherever they stand: with
more, an entry has no index keys. So JSON can nest no deeper than any decoder takes."""
