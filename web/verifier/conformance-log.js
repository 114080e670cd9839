/**
 * Answers of conformance.js about leaves, and about what a log is made of.
 */

import { byteStrings, bytes, integer, list, object, text } from "./ask.js";
import { Bundle } from "./bundle.js";
import { cosignatures, openCheckpoint } from "./checkpoint.js";
import { encodeBase64, encodeHex } from "./encoding.js";
import { parseEntry } from "./entry.js";
import { indexKeys, keyHash } from "./index-keys.js";
import { PublicKey } from "./keys.js";
import {
  checkConsistency,
  checkInclusion,
  consistencyRoots,
  leafHash,
  root,
} from "./merkle.js";
import { UnverifiedNote, VerifierKey } from "./note.js";
import { Proof } from "./proof.js";
import { Request } from "./request.js";
import { Seal } from "./seal.js";
import { predicateTypeOf } from "./statement.js";
import { parseEntryBundle, parsePath } from "./tiles.js";
import { checkAbsence, checkPresence, rootOf, valueOf } from "./trie.js";

/** @import { Ask, Operation } from "./ask.js" */

// --- leaves ------------------------------------------------------------------------

/** @param {Ask} ask */
async function statement(ask) {
  const entry = await parseEntry(0, bytes(ask, "leaf"));
  return {
    sha256: entry.sha256,
    type: predicateTypeOf(entry.envelope.payload),
    measurements: [...entry.statement.measurements],
    signers: [...entry.envelope.signatures.keys()],
  };
}

/** @param {Ask} ask */
async function keysOfLeaf(ask) {
  const keys = indexKeys(bytes(ask, "leaf")).sort();
  const hashes = await Promise.all(keys.map(keyHash));
  return { keys, hashes: hashes.map(encodeHex) };
}

/** @param {Ask} ask */
function seal(ask) {
  const { count, frozen, root: index, time } = Seal.parse(bytes(ask, "leaf"));
  return { count, time, root: encodeBase64(index), frozen };
}

/** @param {Ask} ask */
async function key(ask) {
  const known = await PublicKey.fromSpki(bytes(ask, "spki"));
  if (ask.signature !== undefined) {
    await known.verify(bytes(ask, "signature"), bytes(ask, "message"));
  }
  return { keyid: known.keyid, algorithm: known.algorithm };
}

/** @param {Ask} ask */
async function request(ask) {
  const { log, name, spki } = await Request.parse(bytes(ask, "request"));
  return { log, name, keys: spki.length };
}

// --- the log -----------------------------------------------------------------------

/** @param {Ask} ask */
async function checkpoint(ask) {
  const note = UnverifiedNote.parse(bytes(ask, "note"));
  const found = await openCheckpoint(note, await VerifierKey.parse(text(ask, "vkey")));
  const vkeys = list(ask, "cosigners").map(String);
  const cosigners = await Promise.all(vkeys.map((vkey) => VerifierKey.parse(vkey)));
  const times = await cosignatures(note, cosigners);
  return {
    origin: found.origin,
    size: found.size,
    root: encodeBase64(found.root),
    cosigned: cosigners.map((one) => times.get(one) ?? null),
  };
}

/** @param {Ask} ask */
async function treeRoot(ask) {
  const leaves = await Promise.all(byteStrings(ask, "leaves").map(leafHash));
  return { root: encodeBase64(await root(leaves)) };
}

/** @param {Ask} ask */
async function inclusion(ask) {
  const [leaf, expected] = [bytes(ask, "leaf_hash"), bytes(ask, "root")];
  const [index, size] = [integer(ask, "index"), integer(ask, "size")];
  await checkInclusion(leaf, index, size, byteStrings(ask, "proof"), expected);
  return {};
}

/** @param {Ask} ask */
async function consistency(ask) {
  const [oldRoot, newRoot] = [bytes(ask, "old_root"), bytes(ask, "new_root")];
  const [old, size] = [integer(ask, "old"), integer(ask, "new")];
  await checkConsistency(old, size, byteStrings(ask, "proof"), oldRoot, newRoot);
  return {};
}

/** @param {Ask} ask */
async function bothRoots(ask) {
  const [old, size] = [integer(ask, "old"), integer(ask, "new")];
  const roots = await consistencyRoots(old, size, byteStrings(ask, "proof"));
  return { old_root: encodeBase64(roots.old), new_root: encodeBase64(roots.new) };
}

/** @param {Ask} ask */
function tile(ask) {
  return { ...parsePath(text(ask, "path")) };
}

/** @param {Ask} ask */
function entryBundle(ask) {
  const entries = parseEntryBundle(bytes(ask, "data"), Number(integer(ask, "width")));
  return { entries: entries.map(encodeBase64) };
}

/** @param {Ask} ask */
async function trieRoot(ask) {
  const map = object(ask, "map");
  const values = Object.keys(map).map(async (name) => ({
    key: await keyHash(name),
    value: await valueOf(list(map, name).map(Number)),
  }));
  return { root: encodeBase64(await rootOf(await Promise.all(values))) };
}

/** @param {Ask} ask */
async function presence(ask) {
  const value = await valueOf(list(ask, "indices").map(Number));
  await checkPresence(
    bytes(ask, "root"),
    bytes(ask, "key"),
    value,
    bytes(ask, "proof"),
  );
  return {};
}

/** @param {Ask} ask */
async function absence(ask) {
  await checkAbsence(bytes(ask, "root"), bytes(ask, "key"), bytes(ask, "proof"));
  return {};
}

/** @param {Ask} ask */
async function proof(ask) {
  const found = Proof.parse(bytes(ask, "proof"));
  const logKey = await VerifierKey.parse(text(ask, "vkey"));
  const { size } = await found.verify(bytes(ask, "leaf"), logKey);
  return { index: found.index, size };
}

/** @param {Ask} ask */
function bundle(ask) {
  const { answers, entries } = Bundle.parse(bytes(ask, "bundle"));
  return {
    answers: [...answers.keys()].sort(),
    entries: [...entries.keys()].sort((one, other) => one - other),
  };
}

/** @type {{ [op: string]: Operation }} */
export const operations = {
  absence,
  bundle,
  checkpoint,
  consistency,
  "consistency-roots": bothRoots,
  "entry-bundle": entryBundle,
  inclusion,
  "index-keys": keysOfLeaf,
  key,
  presence,
  proof,
  request,
  root: treeRoot,
  seal,
  statement,
  tile,
  "trie-root": trieRoot,
};
