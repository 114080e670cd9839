/**
 * Measurements: registers, platforms, and the strings that name what runs.
 *
 * A register is a name and one digest, `{"name": "PCR0", "digest": {"sha384": "…"}}` in
 * statements, "PCR0" to "sha384:…" in code. Which registers identify what runs, a
 * statement says in `identity`, a list of lists of register names; each list gives one M,
 * `PCR0=sha384:<hex>`, several registers joined by commas. `<platform>/<M>` is the one
 * spelling of a measurement (docs/protocol.md 2.1).
 */

import * as limits from "./limits.js";
import { shown } from "./encoding.js";
import { MalformedError } from "./errors.js";
import { dictionary, record, text } from "./shapes.js";

/** @typedef {ReadonlyMap<string, string>} Registers register name to `<algorithm>:<hex>` */

export const PLATFORM = /^[a-z0-9-]{1,32}$/;
const PART = /[0-9A-Za-z_]{1,32}=[0-9A-Za-z_]{1,32}:[0-9a-f]{2,128}/.source;
const ONE_PART = new RegExp(`^${PART}$`);
const MEASUREMENT = new RegExp(`^([a-z0-9-]{1,32})/(${PART}(?:,${PART})*)$`);
const BLANK = /^(?:0+|f+)$/;
const ZEROS = /^0+$/;

/** One register as statements spell it; an identity's are its keyids. */
export const REGISTER = record({
  name: text(/^[0-9A-Za-z_]{1,64}$/),
  digest: dictionary(text(/^[0-9A-Za-z_]{1,32}$/), text(/^[0-9a-f]{2,128}$/)),
});
/** @typedef {ReturnType<typeof REGISTER>} Register */

/**
 * On whom the documents of a platform rest: link 8 (docs/trust-model.md).
 * @typedef {object} Ground
 * @property {string} maker who makes the hardware and signs for it, as policies spell it
 * @property {string} called the same for people
 * @property {readonly string[]} forgers who could make a document of something that does
 *   not run, and with what
 * @property {boolean} alone whether the maker runs every machine there is, whatever a
 *   policy says
 */
/**
 * What a subject on a platform looks like.
 * @typedef {object} Platform
 * @property {string} name
 * @property {readonly string[]} required registers that must be there
 * @property {readonly (readonly string[])[]} identity
 * @property {RegExp} pattern of the register names allowed
 * @property {ReadonlyMap<string, readonly number[]>} digests algorithm to hex digits
 * @property {boolean} released whether releases can be made on it
 * @property {boolean} attests whether there are attestation documents of it
 * @property {readonly string[]} [begins] the first bytes of its documents, in hex; no text
 *   begins with them
 * @property {readonly string[]} [blank] registers that, all of them blank, mean that
 *   nothing was measured; by default those required
 * @property {readonly string[]} [checks] numbered checks that its documents have besides
 *   those of all, in their order
 * @property {readonly string[]} [ofCollateral] of these, what cannot be made without that
 *   which its maker publishes
 * @property {Ground} [ground] what link 8 of such a document is; absent where there are
 *   none
 */

/** A CBOR array of four, one of indefinite length, tag 18. */
const COSE = ["84", "9f", "d2"];

/** @type {Ground} */
const AWS = {
  maker: "aws",
  called: "AWS",
  forgers: [
    "AWS, with the key of the root that all certificates descend from",
    "AWS, with the hypervisor and the cards that measure and sign",
  ],
  alone: true,
};

/** @type {readonly Platform[]} */
const KNOWN = [
  {
    name: "aws-nitro",
    required: ["PCR0", "PCR1", "PCR2"],
    identity: [["PCR0"]],
    // PCR4 is the machine's, never the release's.
    pattern: /^PCR(?:[0-35-9]|[12][0-9]|3[01])$/,
    digests: new Map([["sha384", [96]]]),
    released: true,
    attests: true,
    begins: COSE,
    ground: AWS,
  },
  {
    name: "aws-nitrotpm",
    required: ["PCR4", "PCR12"],
    identity: [["PCR4", "PCR12"]],
    // 0 and 1 are the firmware's, which AWS changes; 8 to 11 and 13 to 23 can be
    // extended, or reset, by what runs.
    pattern: /^PCR(?:[2-7]|12)$/,
    digests: new Map([["sha384", [96]]]),
    released: true,
    attests: true,
    begins: COSE,
    // PCR12 is zero where nothing was added to the image's command line.
    blank: ["PCR4"],
    ground: AWS,
  },
  {
    name: "intel-sgx",
    required: ["MRENCLAVE"],
    identity: [["MRENCLAVE"]],
    pattern: /^(?:MRENCLAVE|MRSIGNER)$/,
    digests: new Map([["sha256", [64]]]),
    released: true,
    attests: true,
    // A quote, and the headers that Open Enclave writes before one.
    begins: ["03000200", "0100000002000000", "02000000a3a21e87", "03000000a3a21e87"],
    checks: [
      "document.qe-report",
      "document.collateral",
      "document.revocation",
      "document.qe-identity",
      "document.tcb",
    ],
    ofCollateral: [
      "document.collateral",
      "document.revocation",
      "document.qe-identity",
      "document.tcb",
    ],
    ground: {
      maker: "intel",
      called: "Intel",
      forgers: [
        "Intel, with the key of the root that all certificates descend from",
        "Intel, with its processors, their microcode and the quoting enclave",
        "whoever reads the keys of one processor, by an attack at hand",
      ],
      alone: false,
    },
  },
  {
    name: "artifact",
    required: ["digest"],
    identity: [["digest"]],
    pattern: /^digest$/,
    digests: new Map([["sha256", [64]]]),
    released: true,
    attests: false,
  },
  {
    name: "source",
    required: ["commit"],
    identity: [["commit"]],
    pattern: /^commit$/,
    digests: new Map([["gitCommit", [40, 64]]]),
    released: false,
    attests: false,
  },
];

/** @type {ReadonlyMap<string, Platform>} */
export const PLATFORMS = new Map(KNOWN.map((platform) => [platform.name, platform]));

/**
 * The registers of a subject.
 * @param {readonly Register[]} subject
 * @returns {Registers}
 * @throws {MalformedError} empty, too many, not ascending, or not one digest each
 */
export function registersOf(subject) {
  const ascending = subject.every(
    ({ name }, at) => at === 0 || subject[at - 1].name < name,
  );
  if (subject.length < 1 || subject.length > limits.SUBJECT_REGISTERS || !ascending) {
    throw new MalformedError(
      "subject: expected 1..32 registers, ascending by name, each once",
    );
  }
  return new Map(subject.map((register) => [register.name, digestOf(register)]));
}

/** @param {Register} register */
function digestOf({ name, digest }) {
  if (digest.size !== 1) {
    throw new MalformedError(`register ${name}: expected exactly one digest`);
  }
  const [[algorithm, value]] = digest;
  return `${algorithm}:${value}`;
}

/**
 * Check registers against the rules of their platform.
 * @param {Platform} platform
 * @param {Registers} registers as a statement names them
 * @param {{ complete?: boolean }} [options] whether the platform's required registers
 *   must be there, as in every subject: the default
 * @throws {MalformedError} one is missing, not the platform's, or of another digest; or
 *   those that tell whether anything was measured are blank: debug mode, or nobody's hash
 */
export function checkRegisters(platform, registers, { complete = true } = {}) {
  const missing = platform.required.find((name) => !registers.has(name));
  if (complete && missing !== undefined) {
    throw new MalformedError(`${platform.name}: register ${missing} is missing`);
  }
  for (const [name, digest] of registers) {
    const [algorithm, value] = digest.split(":");
    const digits = platform.digests.get(algorithm) ?? [];
    if (!platform.pattern.test(name) || !digits.includes(value.length)) {
      throw new MalformedError(
        `${platform.name}: register ${name} = ${shown(digest)} is not of this platform`,
      );
    }
  }
  const telling = platform.blank ?? platform.required;
  const blank = telling.every((name) => isBlank(registers.get(name) ?? ""));
  // What a rebuild of a part came to may be anything; what a machine says may not.
  if (blank && (platform.attests || complete)) {
    const debug = platform.attests ? ": debug mode, or nothing was measured" : "";
    throw new MalformedError(
      `${platform.name}: ${telling.join(", ")}: all zero, or all ones${debug}`,
    );
  }
}

/**
 * Whether `<algorithm>:<hex>` is all zeros or all ones: nobody's hash.
 * @param {string} digest
 */
export function isBlank(digest) {
  return BLANK.test(digest.slice(digest.indexOf(":") + 1));
}

/**
 * Whether `<algorithm>:<hex>` is all zeros.
 * @param {string} digest
 */
export function isZero(digest) {
  return ZEROS.test(digest.slice(digest.indexOf(":") + 1));
}

/**
 * Each M that `identity` gives for `registers`; lists with a gap give none, nor does what
 * is not of the shape of index keys. Never throws.
 * @param {readonly (readonly string[])[]} identity
 * @param {Registers} registers
 * @returns {string[]}
 */
export function spell(identity, registers) {
  return identity
    .map((names) => names.map((name) => `${name}=${registers.get(name) ?? ""}`))
    .filter((parts) => parts.length > 0 && parts.every((part) => ONE_PART.test(part)))
    .map((parts) => parts.join(","));
}

/**
 * Platform and M of `<platform>/<M>`.
 * @param {string} measurement
 * @returns {[platform: string, measurement: string]}
 * @throws {MalformedError} another spelling
 */
export function parseMeasurement(measurement) {
  const match = MEASUREMENT.exec(measurement);
  if (match === null) {
    const found = shown(measurement);
    throw new MalformedError(`expected aws-nitro/PCR0=sha384:<hex>, found ${found}`);
  }
  return [match[1], match[2]];
}

/**
 * The registers that an M names.
 * @param {string} measurement
 * @returns {Registers}
 */
export function registersIn(measurement) {
  return new Map(
    measurement.split(",").map((part) => {
      const at = part.indexOf("=");
      return [part.slice(0, at), part.slice(at + 1)];
    }),
  );
}
