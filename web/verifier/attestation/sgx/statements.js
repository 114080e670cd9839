/**
 * What Intel states of its machines: TCB info and QE identity, two signed JSON texts.
 *
 *     TCB info      of one model of processor (its FMSPC): which versions of its sixteen
 *                   components and of the PCE are how good
 *     QE identity   who made the quoting enclave, and which of its versions is how good
 *
 * Both list levels, best first. A level has a status, the date of the software it asks
 * for, and the advisories that are open on it. The layouts are those of Intel's PCS API
 * version 4 (docs/protocol.md 8.7): TCB info version 3, enclave identity version 2. Their
 * order is Intel's and is kept: a reader takes the first level that fits. Members that are
 * not known are left alone, since Intel adds some; everything else is as described here,
 * or refused.
 *
 * What is read here is not verified: collateral.js does that, with the text as it was.
 */

import { parseTime, shown } from "../../encoding.js";
import { MalformedError, UncheckedError } from "../../errors.js";
import { integer, list, openRecord, text } from "../../shapes.js";

/** @import { JsonValue } from "../../encoding.js" */
/** @import { Shape } from "../../shapes.js" */

/** Objects and lists within one another; Intel's texts have five. */
const DEPTH = 32;
/** SVNs of a processor; CPUSVN has one byte of each. */
const COMPONENTS = 16;
const LEVELS = 256;
const ADVISORIES = 256;
/** Digits of the longest integer that is read. */
const DIGITS = 4_300;
const INTEGER = /^-?[0-9]+$/;
// Without the u flag a character class sees surrogates one by one; with it, alone only.
const LONE_SURROGATE = /\p{Surrogate}/u;
// Of a text that is JSON: strings, numbers, what opens and closes, what follows a name.
const TOKEN =
  /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|[{}[\]:]/g;

const svn = integer(0xff);
const word = integer(0xffff);
const number = integer(0xffff_ffff);
const name = text(/^[!-~]{1,64}$/);
const string = text(/^[^]*$/);

const level = {
  tcbDate: string,
  tcbStatus: name,
};
const advisories = { advisoryIDs: list(name, { most: ADVISORIES }) };

/** A level of a machine: what it must have, all of it, to be there. */
const platformLevel = openRecord(
  {
    ...level,
    tcb: openRecord({
      sgxtcbcomponents: list(openRecord({ svn }), {
        least: COMPONENTS,
        most: COMPONENTS,
      }),
      pcesvn: word,
    }),
  },
  advisories,
);

/** A level of a quoting enclave. */
const enclaveLevel = openRecord(
  { ...level, tcb: openRecord({ isvsvn: word }) },
  advisories,
);

const statement = {
  issueDate: string,
  nextUpdate: string,
  tcbEvaluationDataNumber: number,
};

const tcbInfo = openRecord({
  ...statement,
  fmspc: text(/^[0-9A-F]{12}$/),
  pceId: text(/^[0-9A-F]{4}$/),
  tcbType: number,
  tcbLevels: list(platformLevel, { least: 1, most: LEVELS }),
});

// Hex, as in the bytes of the report.
const qeIdentity = openRecord({
  ...statement,
  miscselect: text(/^[0-9A-F]{8}$/),
  miscselectMask: text(/^[0-9A-F]{8}$/),
  attributes: text(/^[0-9A-F]{32}$/),
  attributesMask: text(/^[0-9A-F]{32}$/),
  mrsigner: text(/^[0-9A-F]{64}$/),
  isvprodid: word,
  tcbLevels: list(enclaveLevel, { least: 1, most: LEVELS }),
});

/** @type {Shape<number>} */
const anyInteger = (value, where) => {
  if (typeof value === "number") return value;
  throw new MalformedError(`${where}: expected an integer`);
};
// Version 2 of TCB info had no id.
const kind = openRecord({}, { id: string, version: anyInteger });

/** @typedef {{ begins: number, ends: number }} Dates unix seconds */
/** @typedef {ReturnType<typeof tcbInfo> & Dates} TcbInfo */
/** @typedef {ReturnType<typeof qeIdentity> & Dates} QeIdentity */
/** @typedef {ReturnType<typeof platformLevel>} PlatformLevel */
/** @typedef {{ tcbLevels: readonly { tcbDate: string }[], issueDate: string, nextUpdate: string }} Dated */

/**
 * TCB info from its JSON.
 * @param {string} json
 * @returns {TcbInfo}
 * @throws {MalformedError} it is not of the form
 * @throws {UncheckedError} it is of another version or for another kind of machine
 */
export function readTcbInfo(json) {
  const info = readStatement(json, "TCB info", { id: "SGX", version: 3 }, tcbInfo);
  if (info.tcbType !== 0) {
    throw new UncheckedError(
      `TCB info: expected tcbType 0, found ${info.tcbType}: how to compare its` +
        " levels is not known",
    );
  }
  return info;
}

/**
 * The identity of the quoting enclave, from its JSON; throws as `readTcbInfo`.
 * @param {string} json
 * @returns {QeIdentity}
 */
export function readQeIdentity(json) {
  return readStatement(json, "QE identity", { id: "QE", version: 2 }, qeIdentity);
}

/**
 * @template {Dated} T
 * @param {string} json
 * @param {string} what
 * @param {{ id: string, version: number }} expected
 * @param {Shape<T>} shape
 * @returns {T & Dates}
 */
function readStatement(json, what, expected, shape) {
  const value = readJson(json, what);
  const { id = "", version = 0 } = convert(value, what, kind);
  if (id !== expected.id || version !== expected.version) {
    throw new UncheckedError(
      `${what}: expected id ${expected.id} and version ${expected.version}, found` +
        ` ${shown(id)} and ${version}: get it for SGX, of PCS API 4`,
    );
  }
  const read = convert(value, what, shape);
  try {
    for (const { tcbDate } of read.tcbLevels) parseTime(tcbDate);
    const [begins, ends] = [parseTime(read.issueDate), parseTime(read.nextUpdate)];
    if (begins > ends) {
      throw new MalformedError(`issueDate ${read.issueDate} is after nextUpdate`);
    }
    return { ...read, begins, ends };
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new MalformedError(`${what}: ${error.message}`);
  }
}

/**
 * The value of a JSON text whose numbers are integers and whose members are unique.
 * @param {string} json it need not be canonical, since Intel's is not
 * @param {string} what its name, for messages
 * @returns {JsonValue}
 * @throws {MalformedError} it is not such a text
 */
export function readJson(json, what) {
  let value;
  try {
    value = JSON.parse(json);
  } catch {
    // The engine's own words differ from browser to browser, and quote the input.
    throw malformed(what, `found ${shown(json)}`);
  }
  /** @type {Set<string>[]} */
  const objects = [];
  let before = "";
  for (const [token] of json.matchAll(TOKEN)) {
    if (token === "{" || token === "[") {
      objects.push(new Set());
      if (objects.length > DEPTH) {
        throw malformed(
          what,
          `more than ${DEPTH} objects and lists within one another`,
        );
      }
    } else if (token === "}" || token === "]") objects.pop();
    else if (token === ":") requireNew(objects.at(-1), before, what);
    else if (token.startsWith('"')) requireWhole(token, what);
    else if (!isInteger(token)) {
      throw malformed(what, `expected an integer, found ${shown(token)}`);
    }
    before = token;
  }
  return value;
}

/**
 * @param {string} token a string, as it is spelt
 * @param {string} what
 */
function requireWhole(token, what) {
  if (LONE_SURROGATE.test(JSON.parse(token))) {
    throw malformed(what, "half a character, as \\ud800");
  }
}

/** @param {string} token */
function isInteger(token) {
  return INTEGER.test(token) && token.replace("-", "").length <= DIGITS;
}

/**
 * @param {Set<string> | undefined} names of the object
 * @param {string} token the next name, as it is spelt
 * @param {string} what
 */
function requireNew(names, token, what) {
  const name = JSON.parse(token);
  if (names?.has(name)) throw malformed(what, "a member stands there twice");
  names?.add(name);
}

/**
 * `value` as what a shape says.
 * @template T
 * @param {JsonValue} value
 * @param {string} what its name, for messages
 * @param {Shape<T>} shape
 * @returns {T}
 * @throws {MalformedError} it is not of that form
 */
export function convert(value, what, shape) {
  try {
    return shape(value, "$");
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw malformed(what, error.message);
  }
}

/**
 * @param {string} what
 * @param {string} words
 */
function malformed(what, words) {
  return new MalformedError(`${what}: not the JSON expected: ${words}`);
}
