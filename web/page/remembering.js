/**
 * What this browser remembers: per log key and quorum, the newest checkpoint.
 *
 * As cli/state.py, in the browser's own storage instead of a folder. A log that shows one
 * history today and another one tomorrow is caught by whoever kept the old checkpoint. It
 * is trusted for nothing else: whoever can write here can make a run forget, or make
 * `log.memory` unchecked, never verify. What could accuse a log is what it signed: so its
 * last seal is kept, and not our word that there was one.
 */

import { Bundle } from "../verifier/bundle.js";
import { openCheckpoint } from "../verifier/checkpoint.js";
import {
  decodeBase64,
  decodeText,
  encodeBase64,
  encodeHex,
  encodeJson,
  encodeText,
  equalBytes,
  sha256,
} from "../verifier/encoding.js";
import { PcrlogError } from "../verifier/errors.js";
import * as limits from "../verifier/limits.js";
import { checkInclusion, consistencyRoots, leafHash } from "../verifier/merkle.js";
import { UnverifiedNote } from "../verifier/note.js";
import { Seal } from "../verifier/seal.js";
import { LOG } from "../verifier/verification/checks.js";
import { hashesBetween } from "./asking.js";

/** @import { Checkpoint } from "../verifier/checkpoint.js" */
/** @import { Bytes } from "../verifier/encoding.js" */
/** @import { Proof } from "../verifier/merkle.js" */
/** @import { Log, Policy, Quorum } from "../verifier/policy.js" */
/** @import { Memory } from "../verifier/verification/log.js" */
/** @import { Report } from "../verifier/verification/report.js" */
/** @import { Asker } from "./fetching.js" */
/**
 * How a bundle's checkpoint stands to the one remembered.
 * @typedef {object} Recalled
 * @property {Log} log
 * @property {string} place
 * @property {Checkpoint} seen of the bundle
 * @property {Bytes} note
 * @property {boolean} frozen whether the bundle's seal is the log's last
 * @property {Bytes} seal the bundle's
 * @property {Proof} sealProof that it is the last leaf
 * @property {string | null} [value] what the storage held
 * @property {Checkpoint} [old] what was remembered
 * @property {Memory} [memory]
 */

const PREFIX = "pcrlog/checkpoint/";

/** The browser's storage, or none: it may be full, shut off, or refused from disk. */
export class Store {
  works = true;

  constructor() {
    try {
      const probe = `${PREFIX}probe`;
      localStorage.setItem(probe, "");
      localStorage.removeItem(probe);
    } catch {
      this.works = false;
    }
  }

  /** @param {string} place */
  read(place) {
    return this.works ? localStorage.getItem(PREFIX + place) : null;
  }

  /**
   * @param {string} place
   * @param {string} value
   */
  write(place, value) {
    try {
      localStorage.setItem(PREFIX + place, value);
    } catch {
      this.works = false;
    }
  }
}

/**
 * What is remembered of the log that made a bundle; undefined if it is none of the
 * policy's logs, or not rightly signed: `verify` then says so.
 * @param {Store} store
 * @param {Policy} policy
 * @param {Bytes | undefined} data
 * @param {Asker | undefined} asker asks for the hashes between; undefined: nothing is asked
 * @returns {Promise<Recalled | undefined>}
 */
export async function recall(store, policy, data, asker) {
  if (data === undefined) return undefined;
  let found;
  try {
    const bundle = await Bundle.parse(data);
    const log = policy.logs.get(decodeText(bundle.note).split("\n", 1)[0] ?? "");
    if (log === undefined) return undefined;
    const seen = await openCheckpoint(UnverifiedNote.parse(bundle.note), log.key);
    const { note, seal, sealProof } = bundle;
    const { frozen } = Seal.parse(seal);
    found = { log, place: await placeOf(log), seen, note, frozen, seal, sealProof };
  } catch (error) {
    if (error instanceof PcrlogError) return undefined;
    throw error;
  }
  const value = store.read(found.place);
  const kept = await readKept(value, found.log);
  if (kept === undefined) return { ...found, value };
  const memory = { note: kept.note, frozen: kept.frozen };
  const recalled = { ...found, value, old: kept.checkpoint, memory };
  const [smaller, larger] = [kept.checkpoint.size, found.seen.size].sort((a, b) =>
    a < b ? -1 : 1,
  );
  if (asker === undefined || smaller === larger || smaller === 0n) return recalled;
  try {
    const proof = await hashesBetween(asker, found.log.url, smaller, larger);
    return { ...recalled, memory: { ...memory, proof } };
  } catch (error) {
    if (!(error instanceof PcrlogError)) throw error;
    return recalled; // `log.memory` then says that there is no proof.
  }
}

/**
 * Whether the answer is of a smaller log than one that this browser has seen.
 * @param {Recalled | undefined} recalled
 * @returns {recalled is Recalled & { old: Checkpoint }}
 */
export function goesBack(recalled) {
  return recalled?.old !== undefined && recalled.seen.size < recalled.old.size;
}

/**
 * Keep the checkpoint of a live run whose log checks passed, if it goes on from the one
 * remembered.
 * @param {Store} store
 * @param {Recalled | undefined} recalled
 * @param {Report} report
 * @returns {boolean} whether it was kept
 */
export function remember(store, recalled, report) {
  if (recalled === undefined || report.archived) return false;
  const held = report.checks.every(
    ({ id, status, required }) => !LOG.includes(id) || !required || status === "pass",
  );
  const memory = report.checks.find(({ id }) => id === "log.memory")?.status;
  if (!held || goesBack(recalled)) return false;
  // Where the log does not prove that the one goes on from the other, the older one stays.
  if (recalled.old !== undefined && memory !== "pass") return false;
  // Another tab may have seen a newer one meanwhile, while a slow log kept this one waiting.
  if (store.read(recalled.place) !== recalled.value) return false;
  // The log did not sign our word that it is frozen: its last seal is kept, too.
  const ending = {
    seal: encodeBase64(recalled.seal),
    proof: recalled.sealProof.map(encodeBase64),
  };
  const value = { note: decodeText(recalled.note), ...(recalled.frozen && ending) };
  store.write(recalled.place, JSON.stringify(value));
  return store.works;
}

/**
 * The evidence of a fork, `pcrlog-evidence/v1`: anybody checks it with the log's key alone
 * (docs/evidence.md). undefined where there is none, or where it takes the frozen seal.
 * @param {Recalled | undefined} recalled
 * @param {Report} report
 * @returns {Promise<Bytes | undefined>}
 */
export async function evidenceOf(recalled, report) {
  const memory = report.checks.find(({ id }) => id === "log.memory");
  if (memory?.status !== "fail" || !recalled?.old || !recalled.memory) return undefined;
  const { old, seen, note } = recalled;
  const proof = recalled.memory.proof ?? [];
  if (!(await isFork(old, seen, proof))) return undefined;
  const both = [
    { size: old.size, root: encodeHex(old.root), note: recalled.memory.note },
    { size: seen.size, root: encodeHex(seen.root), note },
  ].sort((a, b) => (a.size !== b.size ? (a.size < b.size ? -1 : 1) : order(a, b)));
  return encodeJson({
    checkpoints: both.map((one) => decodeText(one.note)),
    format: "pcrlog-evidence/v1",
    kind: "checkpoints",
    proof: proof.map(encodeBase64),
  });
}

/**
 * Whether two checkpoints and the hashes between them show two histories by themselves.
 * @param {Checkpoint} one
 * @param {Checkpoint} other
 * @param {Proof} proof
 */
async function isFork(one, other, proof) {
  if (one.size === other.size) return !equalBytes(one.root, other.root);
  const [old, grown] = one.size < other.size ? [one, other] : [other, one];
  try {
    const roots = await consistencyRoots(old.size, grown.size, proof);
    return equalBytes(roots.new, grown.root) && !equalBytes(roots.old, old.root);
  } catch (error) {
    if (error instanceof PcrlogError) return false;
    throw error;
  }
}

/**
 * @param {{ root: string }} one
 * @param {{ root: string }} other
 */
function order(one, other) {
  return one.root < other.root ? -1 : 1;
}

/**
 * Where a log's checkpoint is kept: another policy's laxer quorum never writes what a
 * stricter one reads.
 * @param {Log} log
 */
async function placeOf(log) {
  const parts = [String(log.key), spell(log.witnesses), spell(log.indexMonitors)];
  return encodeHex(await sha256(encodeText(parts.join("\n")))).slice(0, 16);
}

/** @param {Quorum | undefined} quorum */
function spell(quorum) {
  if (quorum === undefined) return "none";
  return `${quorum.least} ${quorum.keys.map(String).sort().join(" ")}`;
}

/**
 * @param {string | null} value
 * @param {Log} log
 * @returns {Promise<{ note: Bytes, frozen: boolean, checkpoint: Checkpoint } | undefined>}
 */
export async function readKept(value, log) {
  if (value === null || value.length > 4 * limits.NOTE) return undefined;
  try {
    const kept = JSON.parse(value);
    const note = encodeText(String(kept.note));
    const checkpoint = await openCheckpoint(UnverifiedNote.parse(note), log.key);
    const frozen = kept.seal !== undefined && (await isFrozen(checkpoint, kept));
    return { note, frozen, checkpoint };
  } catch {
    return undefined;
  }
}

/**
 * Whether a checkpoint's last leaf is the seal with which the log ended.
 * @param {Checkpoint} checkpoint
 * @param {{ seal: string, proof: string[] }} kept
 * @throws {PcrlogError} it is another leaf
 */
async function isFrozen({ size, root }, kept) {
  const seal = decodeBase64(kept.seal);
  const proof = kept.proof.map((hash) => decodeBase64(hash));
  await checkInclusion(await leafHash(seal), size - 1n, size, proof, root);
  return Seal.parse(seal).frozen;
}
