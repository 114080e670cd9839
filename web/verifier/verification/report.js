/**
 * Reports: what a verification found, as words first and as `pcrlog-report/v1`.
 *
 * A report is data, and its members are named as they stand in JSON; whoever goes on to
 * use what an enclave said takes it from `verified()`, which throws unless the verdict
 * is "verified".
 */

import { decodeHex, encodeJson } from "../encoding.js";
import { UncheckedError, VerificationError } from "../errors.js";

/** @import { Bytes, JsonValue } from "../encoding.js" */
/** @import { Check, Verdict } from "./checks.js" */
/** @import { Infrastructure, Word } from "./ground.js" */
/** @import { Status } from "./links.js" */

/**
 * An entry that a link rests on, by index and signing key.
 * @typedef {{ readonly index: number, readonly keyid: string }} Cited
 */
/**
 * One link: its status, who stands behind that, and who would have to do what.
 * @typedef {object} Link
 * @property {number} number
 * @property {string} name
 * @property {Status} status
 * @property {readonly string[]} by
 * @property {readonly Cited[]} evidence
 * @property {string} next
 */
/**
 * A component's part in link 5 or 6, and in words why it is not more.
 * @typedef {object} Share
 * @property {number} number
 * @property {Status} status
 * @property {readonly string[]} by
 * @property {readonly Cited[]} evidence
 * @property {string} found
 * @property {string} next
 */
/**
 * A component, and its shares in links 5 and 6 without those of its own components.
 * @typedef {object} ComponentShown
 * @property {string} product
 * @property {string} sha256
 * @property {string | null} version of its newest release that stands, else of its newest
 * @property {number} depth 1 for what the release itself names; what a component names
 *   follows it, one deeper
 * @property {readonly Share[]} links
 */
/**
 * The checkpoint that the run rests on.
 * @typedef {object} CheckpointShown
 * @property {string} origin
 * @property {number} size
 * @property {string} root
 * @property {number} time of its seal, unix seconds
 * @property {string} note
 */
/**
 * Registers matched by the release, and those that no release lists.
 * @typedef {object} RegistersShown
 * @property {Readonly<Record<string, string>>} matched
 * @property {Readonly<Record<string, string>>} unlisted
 */
/**
 * What a verified enclave said of itself: for use, since the report is verified.
 * @typedef {object} Enclave
 * @property {string} product
 * @property {string} version
 * @property {Readonly<Record<string, string>>} registers
 * @property {Bytes | null} publicKey
 * @property {Bytes | null} userData
 */
/**
 * The members of `pcrlog-report/v1`. Byte strings are lower-case hex.
 * @typedef {object} ReportMembers
 * @property {"pcrlog-report/v1"} format
 * @property {Verdict} verdict
 * @property {string} headline
 * @property {string} product
 * @property {string | null} version
 * @property {string | null} platform
 * @property {RegistersShown} registers
 * @property {string | null} public_key
 * @property {string | null} user_data
 * @property {number} trust_ends_at
 * @property {readonly Link[]} links
 * @property {readonly ComponentShown[]} components
 * @property {Word} ground
 * @property {Infrastructure} infrastructure
 * @property {readonly string[]} remarks
 * @property {readonly Check[]} checks
 * @property {CheckpointShown | null} checkpoint
 * @property {string} policy_sha256
 * @property {boolean} archived
 */

/** `pcrlog-report/v1` (docs/protocol.md section 4). */
export class Report {
  /** @param {Omit<ReportMembers, "format">} members */
  constructor(members) {
    /** @type {"pcrlog-report/v1"} */
    this.format = "pcrlog-report/v1";
    this.verdict = members.verdict;
    this.headline = members.headline;
    this.product = members.product;
    this.version = members.version;
    this.platform = members.platform;
    this.registers = members.registers;
    this.public_key = members.public_key;
    this.user_data = members.user_data;
    this.trust_ends_at = members.trust_ends_at;
    this.links = members.links;
    this.components = members.components;
    this.ground = members.ground;
    this.infrastructure = members.infrastructure;
    this.remarks = members.remarks;
    this.checks = members.checks;
    this.checkpoint = members.checkpoint;
    this.policy_sha256 = members.policy_sha256;
    this.archived = members.archived;
    freeze(this);
  }

  /**
   * What the enclave said, if and only if the verdict is "verified".
   * @returns {Enclave}
   * @throws {VerificationError} refuted
   * @throws {UncheckedError} a required check could not be made
   */
  verified() {
    if (this.verdict === "refuted") throw new VerificationError(this.headline);
    if (this.verdict !== "verified" || this.version === null) {
      throw new UncheckedError(this.headline);
    }
    return {
      product: this.product,
      version: this.version,
      registers: this.registers.matched,
      publicKey: this.public_key === null ? null : decodeHex(this.public_key),
      userData: this.user_data === null ? null : decodeHex(this.user_data),
    };
  }

  /**
   * The report as canonical JSON.
   * @returns {Bytes}
   */
  toJson() {
    // Members alone: strings, numbers, lists and objects of them, all the way down.
    return encodeJson(/** @type {JsonValue} */ (/** @type {unknown} */ ({ ...this })));
  }
}

/**
 * Nobody changes a report between its verdict and who reads it.
 * @param {object} value
 */
function freeze(value) {
  Object.freeze(value);
  for (const member of Object.values(value)) {
    if (member !== null && typeof member === "object") freeze(member);
  }
}
