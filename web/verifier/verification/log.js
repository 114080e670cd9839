/**
 * The log's own side of a verification: checks `log.*`, of its checkpoint and its seal.
 *
 * The first half of pcrlog/verification/evidence.py; evidence.js has the second. What
 * is missing makes a check unchecked, what is false makes it fail (docs/protocol.md
 * section 4).
 */

import { Checkpoint, cosignatures, openCheckpoint } from "../checkpoint.js";
import { decodeText, equalBytes, formatTime, printable } from "../encoding.js";
import {
  MalformedError,
  PcrlogError,
  UncheckedError,
  VerificationError,
} from "../errors.js";
import { checkInclusion, consistencyRoots, leafHash } from "../merkle.js";
import { UnverifiedNote } from "../note.js";
import { Seal } from "../seal.js";

/** @import { Bundle } from "../bundle.js" */
/** @import { Bytes } from "../encoding.js" */
/** @import { Proof } from "../merkle.js" */
/** @import { Log, Policy } from "../policy.js" */
/** @import { CheckStatus, Recorder } from "./checks.js" */

const TWO_HISTORIES = "two histories, a fork";

/**
 * What an earlier live run saw: its checkpoint note.
 *
 * `proof` are the hashes that lead to both roots (docs/protocol.md 7.4), from the tiles
 * of the larger of it and the bundle's checkpoint, if they were fetched. `frozen` is
 * whether its seal was the log's last.
 * @typedef {object} Memory
 * @property {Bytes} note
 * @property {Proof} [proof]
 * @property {boolean} [frozen]
 */

/**
 * A checkpoint that the log signed, its seal, and the policy's view of the log.
 * @typedef {object} Opened
 * @property {Log} log
 * @property {UnverifiedNote} note
 * @property {string} noteText the whole note, cosignatures included
 * @property {Checkpoint} checkpoint
 * @property {Seal} seal
 */

/**
 * Checks `log.signature`, `log.seal`, the quorums and `log.freshness`.
 * @param {Bundle} bundle
 * @param {Policy} policy
 * @param {Recorder} recorder
 * @param {number} now
 * @returns {Promise<Opened | undefined>}
 */
export async function openLog(bundle, policy, recorder, now) {
  let note;
  let origin;
  try {
    note = UnverifiedNote.parse(bundle.note);
    origin = Checkpoint.parse(note.text).origin;
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    recorder.note("log.signature", "fail", "a checkpoint note", error.message);
    return undefined;
  }
  const log = policy.logs.get(origin);
  if (log === undefined) {
    const expected = `a log of the policy: ${[...policy.logs.keys()].join(", ")}`;
    recorder.note("log.signature", "unchecked", expected, printable(origin));
    return undefined;
  }
  const expected = `signed by ${log.key.name}`;
  let checkpoint;
  try {
    checkpoint = await openCheckpoint(note, log.key);
  } catch (error) {
    if (!(error instanceof PcrlogError)) throw error;
    // A browser without the algorithm has not seen a false signature.
    const status = error instanceof UncheckedError ? "unchecked" : "fail";
    recorder.note("log.signature", status, expected, error.message);
    return undefined;
  }
  const found = `checkpoint of ${checkpoint.size} leaves`;
  recorder.note("log.signature", "pass", expected, found);
  const seal = await openSeal(bundle, checkpoint, recorder);
  if (seal === undefined) return undefined;
  const noteText = decodeText(bundle.note);
  const opened = { log, note, noteText, checkpoint, seal };
  await checkQuorums(opened, policy, recorder, now);
  checkFreshness(opened, policy, recorder, now);
  return opened;
}

/**
 * @param {Bundle} bundle
 * @param {Checkpoint} checkpoint
 * @param {Recorder} recorder
 * @returns {Promise<Seal | undefined>}
 */
async function openSeal(bundle, checkpoint, recorder) {
  const check = "log.seal";
  const place = checkpoint.size - 1n;
  const expected = `the last leaf, ${place}, is a seal over the ${place} before it`;
  let seal;
  try {
    const leaf = await leafHash(bundle.seal);
    const { size, root } = checkpoint;
    await checkInclusion(leaf, place, size, bundle.sealProof, root);
    seal = Seal.parse(bundle.seal);
  } catch (error) {
    if (!(error instanceof PcrlogError)) throw error;
    const status = error instanceof UncheckedError ? "unchecked" : "fail";
    recorder.note(check, status, expected, error.message);
    return undefined;
  }
  if (seal.count !== place) {
    recorder.note(check, "fail", expected, `it counts ${seal.count}`);
    return undefined;
  }
  recorder.note(check, "pass", expected, `sealed ${formatTime(seal.time)}`);
  return seal;
}

/**
 * A frozen log is not asked for freshness until `frozenUntil`.
 * @param {Opened} opened
 * @param {number} now
 */
function stillCounts({ log, seal }, now) {
  return seal.frozen && log.frozenUntil !== undefined && now < log.frozenUntil;
}

/**
 * @param {Opened} opened
 * @param {Policy} policy
 * @param {Recorder} recorder
 * @param {number} now
 */
async function checkQuorums(opened, policy, recorder, now) {
  const { log, note } = opened;
  const always = stillCounts(opened, now);
  const oldest = now - log.maxAge;
  const newest = now + policy.clockSkew;
  const quorums = /** @type {const} */ ([
    ["log.witnesses", log.witnesses],
    ["log.index-monitors", log.indexMonitors],
  ]);
  for (const [check, quorum] of quorums) {
    if (quorum === undefined) {
      recorder.note(check, "unchecked", "nothing: waived by the policy", "waived");
      continue;
    }
    const times = [...(await cosignatures(note, quorum.keys)).values()];
    const recent = times.filter(
      (time) => always || (oldest <= time && time <= newest),
    ).length;
    const expected = `at least ${quorum.least} of ${quorum.keys.length}, recent`;
    const found = `${recent} recent of ${times.length} cosignatures`;
    recorder.note(
      check,
      recent >= quorum.least ? "pass" : "unchecked",
      expected,
      found,
    );
  }
}

/**
 * @param {Opened} opened
 * @param {Policy} policy
 * @param {Recorder} recorder
 * @param {number} now
 */
function checkFreshness(opened, policy, recorder, now) {
  const check = "log.freshness";
  const { maxAge } = opened.log;
  const sealed = opened.seal.time;
  const expected = `sealed within the last ${maxAge} s`;
  const found = `sealed ${formatTime(sealed)}, now ${formatTime(now)}`;
  if (opened.seal.frozen) {
    const frozen = "the log is frozen: nothing can be added or revoked any more";
    const status = stillCounts(opened, now) ? "pass" : "unchecked";
    recorder.note(check, status, "frozen_until of the policy", frozen);
  } else if (now - maxAge <= sealed && sealed <= now + policy.clockSkew) {
    recorder.note(check, "pass", expected, found);
  } else {
    recorder.note(check, "unchecked", expected, `${found}: fetch a new bundle`);
  }
}

/**
 * Check `log.memory`: the checkpoint against the one remembered.
 *
 * It fails only if both are signed and cannot both be true. Whoever holds both notes,
 * and the hashes if they are of two sizes, then holds the evidence of a fork.
 * @param {Opened} opened
 * @param {Memory | undefined} memory
 * @param {Recorder} recorder
 */
export async function checkMemory(opened, memory, recorder) {
  const check = "log.memory";
  const expected = "one history with the checkpoint remembered";
  if (memory === undefined) {
    recorder.note(check, "unchecked", expected, "nothing remembered of this log");
    return;
  }
  let old;
  try {
    old = await openCheckpoint(UnverifiedNote.parse(memory.note), opened.log.key);
  } catch (error) {
    if (!(error instanceof PcrlogError)) throw error;
    const found = `memory is not usable: ${error.message}`;
    recorder.note(check, "unchecked", expected, found);
    return;
  }
  const seen = opened.checkpoint;
  const found = `remembered ${old.size}, now ${seen.size}`;
  const [smaller, larger] = seen.size < old.size ? [seen, old] : [old, seen];
  // A frozen checkpoint is final: nothing larger can belong to the same log.
  const final = smaller === old ? memory.frozen === true : opened.seal.frozen;
  if (old.size === seen.size && equalBytes(old.root, seen.root)) {
    recorder.note(check, "pass", expected, found);
  } else if (old.size === seen.size || final) {
    recorder.note(check, "fail", expected, `${found}: ${TWO_HISTORIES}`);
  } else if (memory.proof === undefined) {
    recorder.note(check, "unchecked", expected, `${found}, no proof between them`);
  } else {
    const { status, shown } = await compare(smaller, larger, memory.proof);
    recorder.note(check, status, expected, `${found}: ${shown}`);
  }
}

/**
 * What the hashes show of two checkpoints that the log signed, and in words.
 *
 * They are nobody's signed word. But no other hashes than those of the log's own tree
 * lead to the larger root; and then the root that they give to its first leaves is the
 * log's, whatever it signed for them before.
 * @param {Checkpoint} smaller
 * @param {Checkpoint} larger
 * @param {Proof} hashes
 * @returns {Promise<{ status: CheckStatus, shown: string }>}
 */
async function compare(smaller, larger, hashes) {
  let roots;
  try {
    roots = await consistencyRoots(smaller.size, larger.size, hashes);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    return { status: "unchecked", shown: error.message };
  }
  if (!equalBytes(roots.new, larger.root)) {
    const shown = `the proof does not lead to the ${larger.size} leaves`;
    return { status: "unchecked", shown };
  }
  if (!equalBytes(roots.old, smaller.root)) {
    return { status: "fail", shown: `${TWO_HISTORIES}, proven by the larger tree` };
  }
  return { status: "pass", shown: "proven consistent" };
}
