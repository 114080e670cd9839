/**
 * What a platform is to the rest: how its documents are read, and the steps to trust.
 *
 * A platform is one module, named after it (`aws-nitro` is aws-nitro.js), that gives a
 * `Platform`. A document is verified in the numbered steps that a report shows. Its
 * platform lists them, `walk` takes them, so that none can be left out (docs/protocol.md
 * section 4, Checks):
 *
 *     parse                  document.form
 *     aws-nitro              document.signature, document.chain
 *     intel-sgx              these, and document.qe-report: who made the key that signed;
 *                            then what Intel says of the machine: document.collateral,
 *                            .revocation, .qe-identity, .tcb
 *
 * Only a `Document` gives anything away, and all of it is authenticated. A document may
 * name the time at which it was signed, and its chain is then judged at that time.
 */

import { UncheckedError, VerificationError } from "../errors.js";

/** @import { Bytes } from "../encoding.js" */

/**
 * What a document says.
 * @typedef {object} Said
 * @property {string} platform
 * @property {Map<string, string>} registers "PCR0" to "sha384:<hex>"; all that the
 *   document has, in the platform's order
 * @property {number | null} time unix milliseconds, as signed; null on platforms whose
 *   documents name no time
 * @property {Bytes | null} nonce
 * @property {Bytes | null} userData
 * @property {Bytes | null} publicKey
 * @property {string} moduleId the vendor's name of the machine or enclave that was
 *   measured
 * @property {string} debug why the memory of what was measured is open to its host, which
 *   makes all else worth nothing; empty if it is not
 * @property {number} leafNotBefore unix seconds, as is `leafNotAfter`: the life of the
 *   key that signed
 * @property {number} leafNotAfter
 * @property {string} rootSha256 of the trusted root's DER: says which partition of the
 *   vendor this is
 * @property {string[]} notes what is unusual about it, for people to read; never a
 *   reason to refuse
 * @property {Map<string, number>} [numbers] beside the registers: "ISVSVN" to 2, on
 *   platforms that have such
 */

/** What a genuine document says. It may still be old, a replay, or in debug mode. */
export class Document {
  /** @param {Said} said */
  constructor(said) {
    this.platform = said.platform;
    this.registers = said.registers;
    this.time = said.time;
    this.nonce = said.nonce;
    this.userData = said.userData;
    this.publicKey = said.publicKey;
    this.moduleId = said.moduleId;
    this.debug = said.debug;
    this.leafNotBefore = said.leafNotBefore;
    this.leafNotAfter = said.leafNotAfter;
    this.rootSha256 = said.rootSha256;
    this.notes = said.notes;
    /** @type {Map<string, number>} */
    this.numbers = said.numbers ?? new Map();
  }
}

/**
 * What a verification rests on: the policy's roots, its clock, the maker's word.
 * @typedef {object} Trust
 * @property {readonly Bytes[]} roots trusted certificates, DER
 * @property {number} now unix seconds, for documents that name no time of their own
 * @property {number} [skew] seconds by which clocks may differ; by default 0
 * @property {Bytes} [collateral] what the maker publishes of its machines, where the
 *   platform has such files
 * @property {readonly string[]} [tcb] states of a machine's firmware that are accepted,
 *   by the maker's names; by default UpToDate alone
 * @property {readonly string[]} [advisories] of the maker that are known and accepted; by
 *   default none
 */
/**
 * One numbered check on the way to a document, or after it.
 *
 * `take` gives the next stage and, in words, what was found. It throws a
 * VerificationError if the check fails, an UncheckedError if it cannot be made. A step is
 * only ever given what the one before it gave, so each names the stage that it takes.
 * @typedef {object} Step
 * @property {string} check
 * @property {string} expected
 * @property {{ take(stage: unknown, trust: Trust):
 *   Promise<readonly [stage: unknown, found: string]> }["take"]} take
 */
/**
 * What one check came to.
 * @typedef {object} Outcome
 * @property {string} check
 * @property {"pass" | "fail" | "unchecked"} status
 * @property {string} expected
 * @property {string} found
 */
/**
 * A kind of machine that attests: how its documents are read and verified.
 * @typedef {object} Platform
 * @property {string} name
 * @property {readonly string[]} roots the vendor's roots of trust that come with pcrlog,
 *   PEM
 * @property {(data: Bytes) => Promise<unknown>} parse the first stage; throws a
 *   MalformedError if it is not a document of this platform
 * @property {readonly Step[]} steps in the order of the checks. What one hands out, the
 *   next is given; from some step on that is a `Document`, which later ones may refuse
 */

/**
 * Take the steps, from what `parse` gave: an outcome each, and the document.
 *
 * A step that fails is the last one. So is one that cannot be made, while there is no
 * document: then nothing is authenticated.
 * @param {Platform} platform
 * @param {unknown} first
 * @param {Trust} trust
 * @returns {Promise<{ outcomes: Outcome[], document: Document | undefined }>}
 */
export async function walk({ steps }, first, trust) {
  /** @type {Outcome[]} */
  const outcomes = [];
  let stage = first;
  for (const { check, expected, take } of steps) {
    try {
      const [next, found] = await take(stage, trust);
      stage = next;
      outcomes.push({ check, status: "pass", expected, found });
    } catch (error) {
      if (error instanceof VerificationError) {
        outcomes.push({ check, status: "fail", expected, found: error.message });
        return { outcomes, document: undefined };
      }
      if (!(error instanceof UncheckedError)) throw error;
      outcomes.push({ check, status: "unchecked", expected, found: error.message });
      if (!(stage instanceof Document)) break;
    }
  }
  return { outcomes, document: stage instanceof Document ? stage : undefined };
}
