/**
 * Statements: in-toto Statements v1 of four predicate types, strictly.
 *
 *     {"_type": "https://in-toto.io/Statement/v1", "predicate": {...},
 *      "predicateType": "urn:pcrlog:release:v1", "subject": [...]}
 *
 * predicates.js has the members; `parse` applies every rule that can be judged from the
 * bytes alone (docs/protocol.md 2.1). What needs the log (who may say it, whether it was
 * said before) is authority.js's.
 *
 * A v1 predicate may name a reason, scope, platform or key algorithm that this version
 * does not know: a reader keeps it (docs/protocol.md 2.5).
 */

import * as limits from "./limits.js";
import {
  decodeJson,
  decodeText,
  encodeHex,
  parseJson,
  parseTime,
  sha256,
  shown,
} from "./encoding.js";
import { MalformedError, UncheckedError } from "./errors.js";
import { PublicKey, keyidOf } from "./keys.js";
import {
  PLATFORMS,
  REGISTER,
  checkRegisters,
  registersOf,
  spell,
} from "./measurement.js";
import {
  AUDIT,
  IDENTITY,
  ORDER,
  REGISTRAR,
  RELEASE,
  REVOCATION,
} from "./predicates.js";
import { list, object, oneOf, record, text } from "./shapes.js";

/** @import { Bytes, JsonValue } from "./encoding.js" */
/** @import { Registers } from "./measurement.js" */
/** @import { Audit, Identity, IdentityKey, Measured } from "./predicates.js" */
/** @import { Predicate, Release, Revocation } from "./predicates.js" */
/** @import { Shape } from "./shapes.js" */

export const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";
export const REPRODUCTION = "reproduction";
export const SOURCE_REVIEW = "source-review";
export const CONTROLS_REVIEW = "controls-review";
export const SCOPES = [REPRODUCTION, SOURCE_REVIEW, CONTROLS_REVIEW];
/** Reasons that hold for a measurement, for good. */
export const MEASUREMENT_REASONS = ["compromised", "vulnerable"];
/** Reasons that hold for one statement. */
export const STATEMENT_REASONS = ["withdrawn", "erroneous", "superseded"];

const DAY = 86_400;

/**
 * A well-formed statement; `predicate.kind` tells which of the four it is.
 * @typedef {object} Statement
 * @property {Bytes} payload
 * @property {string} sha256 how other statements name this one: of the payload, in hex
 * @property {Predicate} predicate
 * @property {Registers} registers those of an identity are its keyids
 * @property {readonly string[]} measurements each M of the subject; none of an identity
 */

/**
 * Reads a statement of one type, and checks the rules between its members.
 * @typedef {(value: JsonValue) =>
 *   Promise<{ predicate: Predicate, registers: Registers }>} Read
 */

/** @type {ReadonlyMap<string, Read>} */
const TYPES = new Map([
  ["urn:pcrlog:release:v1", reader(RELEASE, "release", checkRelease)],
  ["urn:pcrlog:audit:v1", reader(AUDIT, "audit", checkAudit)],
  ["urn:pcrlog:revocation:v1", reader(REVOCATION, "revocation", checkRevocation)],
  ["urn:pcrlog:identity:v1", reader(IDENTITY, "identity", checkIdentity)],
]);

/**
 * What a statement says it is.
 * @param {Uint8Array} payload
 * @throws {MalformedError} not a statement
 */
export function predicateTypeOf(payload) {
  const { predicateType } = object(parseJson(decodeText(payload)), "statement");
  if (typeof predicateType !== "string") {
    throw new MalformedError("statement: expected a string predicateType");
  }
  return predicateType;
}

/**
 * Read a statement.
 * @param {Bytes} payload
 * @returns {Promise<Statement>}
 * @throws {UncheckedError} a predicate type that this version does not know
 * @throws {MalformedError} anything that docs/protocol.md 2.1 does not allow
 */
export async function parse(payload) {
  const predicateType = predicateTypeOf(payload);
  const read = TYPES.get(predicateType);
  if (read === undefined) {
    throw new UncheckedError(
      `unknown predicateType ${shown(predicateType)}; upgrade pcrlog`,
    );
  }
  const { predicate, registers } = await read(decodeJson(payload));
  const measurements =
    predicate.kind === "identity" ? [] : spell(predicate.identity, registers);
  const name = encodeHex(await sha256(payload));
  return { payload, sha256: name, predicate, registers, measurements };
}

/**
 * What reads and checks a statement of one type.
 * @template {Predicate["kind"]} K
 * @template {Extract<Predicate, { kind: K }>} P
 * @param {Shape<Omit<P, "kind">>} shape of the predicate
 * @param {K} kind
 * @param {(predicate: P, registers: Registers) => void | Promise<void>} check
 * @returns {Read}
 */
function reader(shape, kind, check) {
  const whole = record({
    _type: oneOf(STATEMENT_TYPE),
    predicateType: text(/^urn:pcrlog:[a-z]+:v1$/),
    subject: list(REGISTER),
    predicate: shape,
  });
  return async (value) => {
    const statement = whole(value, "statement");
    const predicate = /** @type {P} */ ({ ...statement.predicate, kind });
    const registers = registersOf(statement.subject);
    parseTime(predicate.issued);
    await check(predicate, registers);
    return { predicate, registers };
  };
}

/**
 * @param {unknown} condition
 * @param {string} message
 */
function require(condition, message) {
  if (!condition) throw new MalformedError(message);
}

/**
 * A set is a list that ascends.
 * @template T
 * @param {string} name
 * @param {readonly T[] | undefined} items
 * @param {(item: T) => readonly string[]} order
 * @param {number} most
 */
function checkSet(name, items = [], order, most) {
  const places = items.map(order);
  const ascending = places.every(
    (place, at) => at === 0 || precedes(places[at - 1], place),
  );
  require(ascending, `${name}: expected ascending, each once`);
  require(places.length <= most, `${name}: ${places.length} items, at most ${most}`);
}

/**
 * Whether one list of strings stands before another of the same length.
 * @param {readonly string[]} one
 * @param {readonly string[]} other
 */
function precedes(one, other) {
  const at = one.findIndex((part, place) => part !== other[place]);
  return at >= 0 && one[at] < other[at];
}

/**
 * What release, audit and revocation have in common.
 * @param {Measured} predicate
 * @param {Registers} registers
 */
function checkMeasured({ platform: name, identity }, registers) {
  const platform = PLATFORMS.get(name);
  if (platform !== undefined) {
    // Register names hold neither commas nor quotes: equal texts are equal lists.
    const same = JSON.stringify(identity) === JSON.stringify(platform.identity);
    require(same, `identity: expected ${JSON.stringify(platform.identity)} for ${name}`);
    checkRegisters(platform, registers);
  }
  for (const register of registers.keys()) {
    require(register.length <= limits.REGISTER_NAME, "subject: a name is too long");
  }
  const measurements = spell(identity, registers);
  require(measurements.length > 0, "identity: names no register of the subject");
}

/**
 * @param {Release} release
 * @param {Registers} registers
 */
function checkRelease(release, registers) {
  checkMeasured(release, registers);
  const released = PLATFORMS.get(release.platform)?.released ?? true;
  require(released, `${release.platform} cannot be released`);
  const [provider] = release.product.split("/");
  require(provider ===
    release.issuer, `product ${release.product} is not under the name ${release.issuer}`);
  if (release.expires !== undefined) parseTime(release.expires);
  checkSet("components", release.components, ORDER.components, limits.COMPONENTS);
  checkSet("controls", release.controls, ORDER.controls, limits.CONTROLS);
  checkSet("references", release.references, ORDER.references, limits.REFERENCES);
  checkSet("tools", release.build?.tools, ORDER.tools, limits.TOOLS);
  require((release.numbers?.size ?? 0) <= limits.NUMBERS, "numbers: at most 16");
}

/**
 * @param {Audit} audit
 * @param {Registers} registers
 */
function checkAudit(audit, registers) {
  checkMeasured(audit, registers);
  const performed = parseTime(audit.performed);
  const failed = audit.result === "fail";
  const qualified = audit.result === "qualified";
  const expires = audit.expires === undefined ? undefined : parseTime(audit.expires);
  require(!failed || expires === undefined, "a fail does not expire");
  require(qualified ===
    (audit.open !== undefined), "open: exactly when the result is qualified");
  if (!SCOPES.includes(audit.scope)) return;
  const reproduction = audit.scope === REPRODUCTION;
  const onSource = audit.scope === SOURCE_REVIEW;
  const onControls = audit.scope === CONTROLS_REVIEW;
  require((audit.platform === "source") ===
    onSource, `a ${audit.scope} is not about platform ${audit.platform}`);
  require(!(reproduction && qualified), "a reproduction is a pass or a fail");
  require(reproduction ===
    (audit.source !== undefined), "source: required in a reproduction, absent else");
  require((reproduction && failed) ===
    (audit.found !== undefined), "found: exactly in a failed reproduction");
  require(onSource || audit.basis === undefined, "basis: in a source-review only");
  require(reproduction ||
    audit.components === undefined, "components: in a reproduction only");
  require(onControls ===
    (audit.controls !==
      undefined), "controls: required in a controls-review, absent else");
  if (onControls && !failed) {
    const latest = performed + limits.CONTROLS_REVIEW_DAYS * DAY;
    require(expires !== undefined &&
      expires <=
        latest, "expires: required in a controls-review, at most 90 days after performed");
  }
  if (audit.found !== undefined && audit.found.length > 0) {
    const found = registersOf(audit.found);
    const platform = PLATFORMS.get(audit.platform);
    if (platform !== undefined) checkRegisters(platform, found, { complete: false });
  }
}

/**
 * @param {Revocation} revocation
 * @param {Registers} registers
 */
function checkRevocation(revocation, registers) {
  checkMeasured(revocation, registers);
  const { effective, platform, reason, statement } = revocation;
  if (effective !== undefined) parseTime(effective);
  if (MEASUREMENT_REASONS.includes(reason)) {
    require(statement === undefined &&
      effective ===
        undefined, `${reason} holds for the measurement, at once and for good:` +
      " no statement, no effective");
    require(platform !== "source", `${reason}: for releases only`);
  } else if (STATEMENT_REASONS.includes(reason)) {
    require(statement !== undefined, `${reason}: names its statement`);
  }
}

/**
 * @param {Identity} identity
 * @param {Registers} registers
 */
async function checkIdentity(identity, registers) {
  const { issuer, keys, name, roles, signers } = identity;
  checkSet("keys", keys, ORDER.keys, limits.KEYS_OF_IDENTITY);
  checkSet("signers", signers, (keyid) => [keyid], signers.length);
  checkSet("roles", roles, (role) => [role], roles.length);
  require(issuer === name ||
    issuer === REGISTRAR, "issuer: the name, or the registrar");
  const listed = keys.every(({ keyid }) => registers.get(keyid) === `sha256:${keyid}`);
  require(listed &&
    registers.size === keys.length, "subject: expected one register a key");
  const registrar = name === REGISTRAR;
  require(!(registrar && roles.length > 0), "the registrar has no roles");
  for (const key of keys) await checkKey(key, registrar);
}

/**
 * @param {IdentityKey} key
 * @param {boolean} registrar
 */
async function checkKey({ keyid, key, since, status, use }, registrar) {
  require((await keyidOf(key)) ===
    keyid, `key ${keyid}: keyid is not the SHA-256 of the key`);
  try {
    await PublicKey.fromSpki(key);
  } catch (error) {
    // A key of a later algorithm stands, and is unusable here.
    if (!(error instanceof UncheckedError)) throw error;
  }
  require(since === undefined ||
    status === "compromised", `key ${keyid}: since goes with compromised only`);
  require(registrar ===
    (use !==
      undefined), `key ${keyid}: use is for the registrar's keys, and required there`);
}
