/**
 * Policies: what a relying party demands, in a TOML file of its own.
 *
 * Unknown members are errors, so that no demand is lost in a typing mistake. A quorum is
 * required, or waived by the word "none". A key stands once in all lists of witnesses and
 * index monitors of a log, since one key under two names must not count twice. By
 * default, `acme.example/x` is released by `acme.example` and nobody else, and links 1
 * and 2 must be proven (docs/protocol.md 4.6, which has an example with every member).
 */

import { fromPem } from "./attestation/roots.js";
import {
  copyBytes,
  decodeBase64,
  decodeText,
  encodeHex,
  parseTime,
  sha256,
  shown,
} from "./encoding.js";
import { MalformedError, UncheckedError, UsageError } from "./errors.js";
import { PublicKey } from "./keys.js";
import * as limits from "./limits.js";
import {
  PLATFORMS,
  checkRegisters,
  parseMeasurement,
  registersIn,
  spell,
} from "./measurement.js";
import { COSIGNATURE, ED25519, VerifierKey } from "./note.js";
import { FILE } from "./policy-file.js";
import { buildProduct, requirePlatform } from "./policy-product.js";
import { parseToml } from "./toml.js";

/** @import { Bytes } from "./encoding.js" */
/**
 * @import { File, LogTable, PlatformTable, QuorumOrNone, SuccessorTable }
 *   from "./policy-file.js"
 */
/** @typedef {import("./policy-product.js").Product} Product */

const DURATION = /^(0|[1-9][0-9]{0,5})([smhd])$/;
const SECONDS = new Map([
  ["s", 1],
  ["m", 60],
  ["h", 3600],
  ["d", 86_400],
]);

/**
 * At least `least` of `keys` (type 0x04) must have cosigned.
 * @typedef {{ readonly least: number, readonly keys: readonly VerifierKey[] }} Quorum
 */
/**
 * A log that the policy knows. Ages in seconds.
 * @typedef {object} Log
 * @property {VerifierKey} key
 * @property {string} url
 * @property {string} registrar keyid of a root key of entry 0
 * @property {number} maxAge
 * @property {number | undefined} frozenUntil unix seconds
 * @property {Quorum | undefined} witnesses undefined: waived
 * @property {Quorum | undefined} indexMonitors undefined: waived
 */
/**
 * What counts as a live document of a platform.
 * @typedef {object} PlatformRules
 * @property {readonly string[]} roots each "builtin" or PEM
 * @property {number} maxAge seconds
 * @property {boolean} nonceRequired
 * @property {string | undefined} operator
 * @property {readonly string[]} tcb states of a machine that are accepted, by its
 *   maker's words
 * @property {readonly string[]} advisories of the maker that are accepted
 * @property {boolean} collateralRequired
 * @property {string | undefined} pccs where the maker's collateral is had, if anywhere
 */
/**
 * At least `least` of `keys` (by keyid) sign the next policy, found at `url`.
 * @typedef {object} Successor
 * @property {number} least
 * @property {ReadonlyMap<string, PublicKey>} keys
 * @property {string | undefined} url
 */
/**
 * What never speaks for anything: statements and keys by hash, measurements.
 * @typedef {object} Distrust
 * @property {readonly string[]} statements
 * @property {readonly string[]} keys
 * @property {readonly string[]} measurements `<platform>/<M>`
 */

/** A parsed policy; times and ages in (unix) seconds. */
export class Policy {
  /**
   * @param {string} digest
   * @param {File} file
   * @param {ReadonlyMap<string, Log>} logs by origin
   * @param {ReadonlyMap<string, Product>} products
   * @param {Successor | undefined} next
   */
  constructor(digest, file, logs, products, next) {
    const { statements = [], keys = [], measurements = [] } = file.distrust ?? {};
    measurements.forEach(checkDistrusted);
    /** Of the file, in hex. */
    this.sha256 = digest;
    this.version = file.version;
    this.validUntil = parseTime(file.valid_until);
    this.clockSkew = parseDuration(file.clock_skew ?? "300s");
    this.clockAttested = file.clock === "attested";
    this.archives = file.archives ?? false;
    /** @type {Distrust} */
    this.distrust = { statements, keys, measurements };
    this.logs = logs;
    /** @type {ReadonlyMap<string, PlatformRules>} */
    this.platforms = new Map(
      [...file.platforms].map(([name, raw]) => [name, buildPlatform(name, raw)]),
    );
    this.products = products;
    this.previous = file.previous;
    this.successor = next;
  }

  /**
   * Read a policy file.
   * @param {Bytes} given
   * @throws {UsageError} not TOML, an unknown or missing member, a value out of its form
   */
  static async parse(given) {
    if (given.length > limits.POLICY) {
      throw new UsageError(
        `policy has ${given.length} bytes, at most ${limits.POLICY}`,
      );
    }
    // A copy of our own: what is hashed is what was read, whoever holds the other.
    const data = copyBytes(given);
    try {
      const file = FILE(parseToml(decodeText(data)), "policy");
      const products = [...(file.products ?? [])].map(
        ([name, raw]) =>
          /** @type {const} */ ([name, buildProduct(name, raw, file.platforms)]),
      );
      return new Policy(
        encodeHex(await sha256(data)),
        file,
        await buildLogs(file),
        new Map(products),
        file.successor && (await buildSuccessor(file.successor)),
      );
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      throw new UsageError(`policy: ${error.message}`);
    }
  }

  /**
   * What is demanded of a product: its own table, or its provider's `/*`.
   * @param {string} name
   * @throws {UsageError} the policy says nothing of it
   */
  product(name) {
    const found = this.findProduct(name);
    if (found === undefined) {
      throw new UsageError(
        `the policy does not name ${name}; add it: pcrlog policy add POLICY ${name}`,
      );
    }
    return found;
  }

  /**
   * The same, or undefined.
   * @param {string} name
   */
  findProduct(name) {
    const [provider] = name.split("/", 1);
    return this.products.get(name) ?? this.products.get(`${provider}/*`);
  }
}

/**
 * Seconds of `<number><s, m, h or d>`.
 * @param {string} duration
 * @throws {MalformedError} another form
 */
export function parseDuration(duration) {
  const [, number, unit] = DURATION.exec(duration) ?? [];
  const seconds = SECONDS.get(unit ?? "");
  if (seconds === undefined) {
    throw new MalformedError(
      `expected a duration such as 300s, 5m, 24h or 7d, found ${shown(duration)}`,
    );
  }
  return Number(number) * seconds;
}

/**
 * @param {File} file
 * @returns {Promise<ReadonlyMap<string, Log>>}
 */
async function buildLogs(file) {
  const logs = await Promise.all(file.log.map(buildLog));
  const named = new Map(logs.map((one) => [one.key.name, one]));
  if (named.size !== logs.length) throw new MalformedError("a log stands twice");
  return named;
}

/**
 * @param {LogTable} raw
 * @returns {Promise<Log>}
 */
async function buildLog(raw) {
  const key = await VerifierKey.parse(raw.vkey);
  if (key.kind !== ED25519) {
    throw new MalformedError(`log ${key.name}: expected a key of type 0x01`);
  }
  const witnesses = await buildQuorum(raw.witnesses);
  const indexMonitors = await buildQuorum(raw.index_monitors);
  const keys = [key, ...(witnesses?.keys ?? []), ...(indexMonitors?.keys ?? [])];
  if (new Set(keys.map((one) => encodeHex(one.key))).size !== keys.length) {
    throw new MalformedError(
      `log ${key.name}: a key stands twice among log, witnesses, monitors`,
    );
  }
  return {
    key,
    url: withoutSlashes(raw.url),
    registrar: raw.registrar,
    maxAge: parseDuration(raw.max_age ?? "24h"),
    frozenUntil:
      raw.frozen_until === undefined ? undefined : parseTime(raw.frozen_until),
    witnesses,
    indexMonitors,
  };
}

/**
 * Without those at the end. A pattern would try each slash of a long row as the first.
 * @param {string} url
 */
function withoutSlashes(url) {
  let end = url.length;
  while (url[end - 1] === "/") end -= 1;
  return url.slice(0, end);
}

/**
 * @param {QuorumOrNone} raw
 * @returns {Promise<Quorum | undefined>}
 */
async function buildQuorum(raw) {
  if (raw === "none") return undefined;
  const keys = await Promise.all(raw.keys.map((vkey) => VerifierKey.parse(vkey)));
  if (keys.some((key) => key.kind !== COSIGNATURE)) {
    throw new MalformedError(
      "expected keys of witnesses and index monitors to be of type 0x04",
    );
  }
  if (keys.length < raw.quorum) {
    throw new MalformedError(
      `a quorum of ${raw.quorum} cannot be reached by ${keys.length} keys`,
    );
  }
  return { least: raw.quorum, keys };
}

/**
 * @param {SuccessorTable} raw
 * @returns {Promise<Successor>}
 */
async function buildSuccessor(raw) {
  const keys = await Promise.all(
    raw.keys.map(async (spki) => {
      try {
        return await PublicKey.fromSpki(decodeBase64(spki));
      } catch (error) {
        if (!(error instanceof UncheckedError)) throw error;
        throw new MalformedError(error.message);
      }
    }),
  );
  const named = new Map(keys.map((key) => [key.keyid, key]));
  if (named.size !== keys.length || keys.length < raw.quorum) {
    throw new MalformedError(
      `successor: ${raw.quorum} of ${named.size} keys, each named once`,
    );
  }
  return { least: raw.quorum, keys: named, url: raw.url };
}

/**
 * @param {string} name
 * @param {PlatformTable} raw
 * @returns {PlatformRules}
 */
function buildPlatform(name, raw) {
  requirePlatform(name);
  for (const root of raw.roots) requireRoot(root);
  const told = [raw.tcb, raw.advisories, raw.collateral, raw.pccs];
  const published = PLATFORMS.get(name)?.ofCollateral !== undefined;
  if (!published && told.some((one) => one !== undefined)) {
    throw new MalformedError(
      `platforms.${name}: tcb, advisories, collateral and pccs are of platforms` +
        " whose maker publishes the state of its machines: intel-sgx",
    );
  }
  const tcb = raw.tcb ?? ["UpToDate"];
  if (new Set(tcb).size < tcb.length) {
    throw new MalformedError(`platforms.${name}: a status stands twice in tcb`);
  }
  return {
    roots: raw.roots,
    maxAge: parseDuration(raw.max_age ?? "5m"),
    nonceRequired: raw.nonce !== "optional",
    operator: raw.operator,
    tcb,
    advisories: raw.advisories ?? [],
    collateralRequired: raw.collateral !== "optional",
    pccs: raw.pccs,
  };
}

/** @param {string} root */
function requireRoot(root) {
  try {
    if (root !== "builtin") fromPem(root);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new MalformedError(error.message);
  }
}

/**
 * Any other spelling would match no document, and distrust nothing.
 * @param {string} given
 */
function checkDistrusted(given) {
  const [name, measurement] = parseMeasurement(given);
  const known = requirePlatform(name);
  const registers = registersIn(measurement);
  if (!spell(known.identity, registers).includes(measurement)) {
    const names = known.identity[0].map((one) => `${one}=…`).join(",");
    throw new MalformedError(
      `distrust: expected ${name}/${names}, found ${shown(given)}`,
    );
  }
  checkRegisters(known, registers, { complete: false });
}
