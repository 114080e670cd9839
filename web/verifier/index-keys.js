/**
 * Index keys: under which strings the index lists an entry.
 *
 *     v1/by/<issuer>/<platform>/<M>      all but identities about that measurement
 *     v1/version/<product>/<version>     releases
 *     v1/identity/<name>                 identities
 *     v1/measurement/<platform>/<M>      releases
 *     v1/product/<product>               releases
 *     v1/issuer/<name>                   all statements of an issuer
 *
 * One pure function of an entry's bytes (docs/protocol.md section 3). It never fails,
 * knows no table of platforms or versions of types, and never will: every reader, however
 * old, has to compute the same index. An entry in which the members of a key are absent,
 * or not of their shape, does not have that key.
 */

import * as limits from "./limits.js";
import { decodeBase64, decodeText, encodeText, parseJson, sha256 } from "./encoding.js";
import { FIRST_BYTE } from "./envelope.js";
import { MalformedError } from "./errors.js";
import { PLATFORM, spell } from "./measurement.js";
import { NAME, PRODUCT, VERSION } from "./predicates.js";

/** @import { Bytes, JsonObject, JsonValue } from "./encoding.js" */

const FAMILY = /^urn:pcrlog:([a-z0-9-]{1,32}):[!-~]*$/;
const OPENING = [0x5b, 0x7b];

/**
 * Every statement of `issuer` about a measurement: what verification asks.
 * @param {string} issuer
 * @param {string} platform
 * @param {string} measurement
 */
export function by(issuer, platform, measurement) {
  return `v1/by/${issuer}/${platform}/${measurement}`;
}

/**
 * The releases of one version of a product: conflicts.
 * @param {string} product
 * @param {string} version
 */
export function ofVersion(product, version) {
  return `v1/version/${product}/${version}`;
}

/**
 * The identities of a name.
 * @param {string} name
 */
export function ofIdentity(name) {
  return `v1/identity/${name}`;
}

/**
 * The releases, by anybody, of a measurement.
 * @param {string} platform
 * @param {string} measurement
 */
export function ofMeasurement(platform, measurement) {
  return `v1/measurement/${platform}/${measurement}`;
}

/**
 * The releases of a product.
 * @param {string} product
 */
export function ofProduct(product) {
  return `v1/product/${product}`;
}

/**
 * All statements of an issuer.
 * @param {string} name
 */
export function ofIssuer(name) {
  return `v1/issuer/${name}`;
}

/**
 * The trie's key for a key string.
 * @param {string} key
 */
export function keyHash(key) {
  return sha256(encodeText(key));
}

/**
 * The key strings of an entry, each once; a seal has none.
 * @param {Bytes} leaf
 * @returns {string[]}
 */
export function indexKeys(leaf) {
  if (leaf[0] !== FIRST_BYTE) return [];
  const envelope = readObject(leaf);
  if (typeof envelope?.payload !== "string") return [];
  const payload = readBase64(envelope.payload);
  return payload === undefined ? [] : keysOfPayload(payload);
}

/**
 * The same, of the statement inside an entry's envelope.
 * @param {Bytes} payload
 * @returns {string[]}
 */
export function keysOfPayload(payload) {
  const statement = readObject(payload);
  const predicate = objectOf(statement?.predicate);
  if (typeof statement?.predicateType !== "string" || predicate === undefined)
    return [];
  const family = FAMILY.exec(statement.predicateType)?.[1] ?? "";
  return [...new Set(keysOf(family, predicate, statement.subject))];
}

/**
 * @param {string} family
 * @param {JsonObject} predicate
 * @param {JsonValue | undefined} subject
 */
function keysOf(family, predicate, subject) {
  const keys = [];
  const issuer = member(predicate, "issuer", NAME);
  const platform = member(predicate, "platform", PLATFORM);
  const measurements =
    platform === undefined ? [] : measurementsOf(predicate.identity, subject);
  for (const measurement of measurements) {
    if (issuer !== undefined && family !== "identity") {
      keys.push(by(issuer, `${platform}`, measurement));
    }
    if (family === "release") keys.push(ofMeasurement(`${platform}`, measurement));
  }
  const product = member(predicate, "product", PRODUCT);
  if (family === "release" && product !== undefined) {
    const version = member(predicate, "version", VERSION);
    keys.push(ofProduct(product));
    if (version !== undefined) keys.push(ofVersion(product, version));
  }
  const name = member(predicate, "name", NAME);
  if (family === "identity" && name !== undefined) keys.push(ofIdentity(name));
  if (issuer !== undefined) keys.push(ofIssuer(issuer));
  return keys;
}

/**
 * A member of the predicate that is a string of its shape, or nothing.
 * @param {JsonObject} predicate
 * @param {string} name
 * @param {RegExp} shape
 */
function member(predicate, name, shape) {
  const value = predicate[name];
  return typeof value === "string" && shape.test(value) ? value : undefined;
}

/**
 * Each M, if identity and subject are of their shapes.
 * @param {JsonValue | undefined} identity
 * @param {JsonValue | undefined} subject
 * @returns {string[]}
 */
function measurementsOf(identity, subject) {
  const lists = listsOf(identity);
  if (!Array.isArray(subject) || lists === undefined) return [];
  /** @type {Map<string, string>} */
  const registers = new Map();
  for (const row of subject) {
    const register = objectOf(row);
    const digests = Object.entries(objectOf(register?.digest) ?? {});
    const name = register?.name;
    if (typeof name !== "string" || registers.has(name) || digests.length !== 1)
      return [];
    const [[algorithm, value]] = digests;
    if (typeof value !== "string") return [];
    registers.set(name, `${algorithm}:${value}`);
  }
  return spell(lists, registers);
}

/**
 * A list of lists of strings.
 * @param {JsonValue | undefined} value
 * @returns {string[][] | undefined}
 */
function listsOf(value) {
  if (!Array.isArray(value)) return undefined;
  const lists = [];
  for (const one of value) {
    if (!Array.isArray(one)) return undefined;
    const names = one.filter((name) => typeof name === "string");
    if (names.length !== one.length) return undefined;
    lists.push(names);
  }
  return lists;
}

/**
 * @param {JsonValue | undefined} value
 * @returns {JsonObject | undefined}
 */
function objectOf(value) {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? value : undefined;
}

/**
 * The object that bytes spell as JSON, canonical or not; undefined of all else.
 * @param {Bytes} data
 */
function readObject(data) {
  const brackets = data.reduce((sum, byte) => sum + Number(OPENING.includes(byte)), 0);
  if (brackets > limits.BRACKETS) return undefined;
  return objectOf(orNothing(() => parseJson(decodeText(data))));
}

/** @param {string} text */
function readBase64(text) {
  return orNothing(() => decodeBase64(text));
}

/**
 * What `read` gives; undefined if that is malformed.
 * @template T
 * @param {() => T} read
 * @returns {T | undefined}
 */
function orNothing(read) {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
