/**
 * The members of a policy file, as shapes: the tables of docs/protocol.md 4.6.
 *
 * policy.js has the rules that tie members together, reads the keys, times and
 * durations, and fills in the defaults.
 */

import { KEYID } from "./envelope.js";
import { MalformedError } from "./errors.js";
import * as limits from "./limits.js";
import { NAME } from "./predicates.js";
import { dictionary, integer, list, oneOf, record, text } from "./shapes.js";
import { CONTROLS_REVIEW, REPRODUCTION, SOURCE_REVIEW } from "./statement.js";

/** @import { Shape } from "./shapes.js" */
/** @typedef {"critical" | "high" | "medium" | "low"} Severity */

const MOST_LOGS = 32;
const MOST_ROOTS = 8;
const MOST_STATUSES = 8;
const MOST_ADVISORIES = 256;
const LINKS = 7;

const string = text(/^[^]*$/);

/** @type {Shape<boolean>} */
const boolean = (value, where) => {
  if (typeof value === "boolean") return value;
  throw new MalformedError(`${where}: expected true or false`);
};

/**
 * An integer 1 to `most`.
 * @param {number} most
 * @returns {Shape<number>}
 */
function count(most) {
  const atMost = integer(most);
  return (value, where) => {
    const number = atMost(value, where);
    if (number < 1) throw new MalformedError(`${where}: found 0, want 1..${most}`);
    return number;
  };
}

const quorum = record({ quorum: count(limits.NOTE_SIGNATURES), keys: list(string) });

/** @type {Shape<ReturnType<typeof quorum> | "none">} */
const quorumOrNone = (value, where) =>
  value === "none" ? value : quorum(value, `${where}, which is no "none"`);

const log = record(
  {
    vkey: string,
    url: string,
    registrar: KEYID,
    witnesses: quorumOrNone,
    index_monitors: quorumOrNone,
  },
  { max_age: string, frozen_until: string },
);

/** Intel's words for a machine; Revoked is never accepted. */
const status = oneOf(
  "UpToDate",
  "SWHardeningNeeded",
  "ConfigurationNeeded",
  "ConfigurationAndSWHardeningNeeded",
  "OutOfDate",
  "OutOfDateConfigurationNeeded",
);

const platform = record(
  { roots: list(string, { least: 1, most: MOST_ROOTS }) },
  {
    max_age: string,
    nonce: oneOf("required", "optional"),
    operator: string,
    // Of platforms whose maker publishes the state of its machines:
    tcb: list(status, { least: 1, most: MOST_STATUSES }),
    advisories: list(text(/^INTEL-(?:SA|DOC)-[0-9]{5}$/), { most: MOST_ADVISORIES }),
    collateral: oneOf("required", "optional"),
    pccs: text(/^https?:\/\/[!-~]{1,240}$/),
  },
);

/** An auditor that counts, and for which scopes. */
const auditor = record({
  name: text(NAME),
  scopes: list(oneOf(REPRODUCTION, SOURCE_REVIEW, CONTROLS_REVIEW), { least: 1 }),
});

const passes = count(limits.AUDITORS_OF_PRODUCT);

/** @type {Shape<Severity>} */
const severity = oneOf("critical", "high", "medium", "low");
// `dictionary` calls its names strings; these have been through `severity`.
const openFindings = /** @type {Shape<ReadonlyMap<Severity, number>>} */ (
  /** @type {unknown} */ (dictionary(severity, integer()))
);

const product = record(
  { platforms: list(string, { least: 1 }) },
  {
    lowest_version: string,
    links: list(count(LINKS)),
    channel: oneOf("required", "optional"),
    components: oneOf("refuse", "report"),
    auditors: list(auditor, { most: limits.AUDITORS_OF_PRODUCT }),
    counts: record(
      {},
      { [REPRODUCTION]: passes, [SOURCE_REVIEW]: passes, [CONTROLS_REVIEW]: passes },
    ),
    open_findings: openFindings,
    pins: dictionary(text(NAME), list(KEYID)),
    operator: string,
    ground: oneOf("any", "separate"),
  },
);

const distrust = record(
  {},
  { statements: list(KEYID), keys: list(KEYID), measurements: list(string) },
);

const successor = record(
  {
    quorum: count(limits.POLICY_KEYS),
    keys: list(string, { most: limits.POLICY_KEYS }),
  },
  { url: text(/^https:\/\/[!-~]{1,248}$/) },
);

/** The whole file. */
export const FILE = record(
  {
    format: oneOf("pcrlog-policy/v1"),
    version: integer(),
    valid_until: string,
    log: list(log, { least: 1, most: MOST_LOGS }),
    platforms: dictionary(string, platform),
  },
  {
    clock_skew: string,
    clock: oneOf("local", "attested"),
    archives: boolean,
    distrust,
    products: dictionary(string, product),
    previous: KEYID,
    successor,
  },
);

/** @typedef {ReturnType<typeof FILE>} File */
/** @typedef {ReturnType<typeof auditor>} Auditor */
/** @typedef {ReturnType<typeof log>} LogTable */
/** @typedef {ReturnType<typeof quorumOrNone>} QuorumOrNone */
/** @typedef {ReturnType<typeof platform>} PlatformTable */
/** @typedef {ReturnType<typeof product>} ProductTable */
/** @typedef {ReturnType<typeof successor>} SuccessorTable */
