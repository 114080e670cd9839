/**
 * Every bound on input from outside, in one table (docs/protocol.md section 4, Limits).
 *
 * The names are those of pcrlog/limits.py; a test compares the two. Sizes are bytes
 * unless the name says otherwise. What can exceed 2^53 is a bigint: sizes of trees, and
 * the times in cosignatures.
 */

export const ENVELOPE = 32_768;
export const URI = 256;
export const NAME = 64;
export const SUBJECT_REGISTERS = 32;
/** Characters of a register's name, but for identities, whose registers are keyids. */
export const REGISTER_NAME = 32;
export const COMPONENTS = 32;
export const COMPONENTS_IN_ALL = 64;
export const COMPONENT_DEPTH = 8;
export const CONTROLS = 32;
export const REFERENCES = 16;
export const TOOLS = 64;
export const NUMBERS = 16;
export const KEYS_OF_IDENTITY = 16;
export const AUDITORS_OF_PRODUCT = 8;
export const BASIS_CHAIN = 8;
export const ATTESTATION = 20_480;
/** What a maker publishes of one of its machines (intel-sgx). */
export const COLLATERAL = 262_144;
export const BUNDLE = 1_048_576;
export const BUNDLE_ENTRIES = 1_024;
export const BUNDLE_ANSWERS = 512;
export const POLICY = 262_144;
/** Keys that may sign a policy's successor. */
export const POLICY_KEYS = 16;
/** Bytes of a file of successors. */
export const UPDATES = 2_097_152;
export const UPDATE_STEPS = 128;
export const NOTE = 65_536;
export const NOTE_SIGNATURES = 64;
/** A tree of 2^63 leaves has inclusion proofs of 63 hashes; none is larger. */
export const PROOF_HASHES = 63;
/** A trie of 256-bit keys branches at most 256 times above one leaf. */
export const TRIE_DEPTH = 256;
export const SPKI = 512;
export const CONTROLS_REVIEW_DAYS = 90;
/** The largest integer that every JSON implementation represents exactly. */
export const INTEGER = Number.MAX_SAFE_INTEGER;
export const TREE_SIZE = 2n ** 63n - 1n;
/** Unix seconds, as C2SP tlog-cosignature bounds them. */
export const COSIGNATURE_TIME = 2n ** 63n - 1n;
/**
 * Opening brackets and braces in an envelope or a payload, wherever they stand: with
 * more, an entry has no index keys. So JSON can nest no deeper than any decoder takes.
 */
export const BRACKETS = 512;
