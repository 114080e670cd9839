/**
 * The numbered checks of a verification, which of them are required, and the verdict.
 *
 * tests/vectors/tables/verdicts.json is the table of refusals and verdicts
 * (docs/protocol.md section 4: Required, Verdict, Checks). A check that nobody recorded
 * is unchecked: forgetting one can never verify.
 */

import { PLATFORMS } from "../measurement.js";

/** @typedef {"pass" | "fail" | "unchecked"} CheckStatus */
/** @typedef {"verified" | "unchecked" | "refuted"} Verdict */

/**
 * One check: its stable `id`, what it came to, what was expected and found.
 * @typedef {object} Check
 * @property {string} id
 * @property {CheckStatus} status
 * @property {boolean} required
 * @property {string} expected
 * @property {string} found
 */

export const CHECKS = Object.freeze([
  "policy.valid",
  "document.form",
  "document.signature",
  "document.chain",
  "document.time",
  "document.nonce",
  "document.debug",
  "channel",
  "log.signature",
  "log.witnesses",
  "log.index-monitors",
  "log.freshness",
  "log.memory",
  "log.seal",
  "answers.present",
  "answers.proofs",
  "entries.inclusion",
  "entries.authority",
  "release.match",
  "release.valid",
  "release.conflict",
  "release.version",
  "audits.quorum",
  "audits.fails",
  "components",
  "controls",
  "policy.distrust",
  "policy.ground",
  "policy.links",
]);

/** The checks of the document itself, but for those of its platform. */
const LINK_1 = Object.freeze(CHECKS.slice(1, 7));
export const LOG = Object.freeze(
  CHECKS.filter((name) => name.startsWith("log.") && name !== "log.memory"),
);
export const ANSWERS = Object.freeze(CHECKS.slice(14, 18));
const BEFORE_PLATFORMS_OWN = "document.chain";
/** Those that cannot be made without what a maker publishes of its machines. */
const OF_COLLATERAL = [...PLATFORMS.values()].flatMap(
  (platform) => platform.ofCollateral ?? [],
);
/** What may go unchecked by a policy's leave, and refutes all the same if it fails. */
const REFUTING = [
  "document.nonce",
  "document.time",
  "log.memory",
  "controls",
  ...OF_COLLATERAL,
];
/** What a check found that nobody recorded. */
export const NOT_REACHED = "not reached";

/** @type {Readonly<Record<CheckStatus, number>>} */
const WORSE = { pass: 0, unchecked: 1, fail: 2 };

/** What of a policy decides which checks are required. Never changes once made. */
export class Demands {
  /** Checks that may go unchecked. */
  #waived;

  /**
   * @param {object} wanted
   * @param {boolean} wanted.nonce
   * @param {boolean} wanted.channel
   * @param {boolean} wanted.witnesses
   * @param {boolean} wanted.indexMonitors
   * @param {readonly number[]} wanted.links
   * @param {boolean} wanted.components
   * @param {boolean} wanted.archived
   * @param {boolean} wanted.archives
   * @param {boolean} [wanted.time] whether the document has to say when it was made, or
   *   hold our nonce: the default
   * @param {boolean} [wanted.collateral] the default
   * @param {readonly string[]} [wanted.platformsOwn] checks that the document's platform
   *   adds
   */
  constructor(wanted) {
    this.wanted = wanted;
    this.components = wanted.components;
    this.archived = wanted.archived;
    this.archives = wanted.archives;
    this.platformsOwn = wanted.platformsOwn ?? [];
    /** The checks of the document itself. */
    this.link1 = [...LINK_1, ...this.platformsOwn];
    const collateral = wanted.collateral ?? true;
    /** @param {readonly number[]} numbers */
    const asks = (numbers) => numbers.some((number) => wanted.links.includes(number));
    const demanded = {
      "document.nonce": wanted.nonce && !wanted.archived,
      "document.time": wanted.time ?? true,
      ...Object.fromEntries(OF_COLLATERAL.map((check) => [check, collateral])),
      channel: wanted.channel,
      "log.witnesses": wanted.witnesses,
      "log.index-monitors": wanted.indexMonitors,
      "log.memory": false,
      "audits.quorum": asks([3, 4, 7]),
      components: asks([5, 6]),
      controls: asks([7]),
    };
    this.#waived = new Set(
      Object.entries(demanded).flatMap(([check, wants]) => (wants ? [] : [check])),
    );
  }

  /**
   * The same demands but for some.
   * @param {Partial<Demands["wanted"]>} changes
   * @returns {Demands}
   */
  but(changes) {
    return new Demands({ ...this.wanted, ...changes });
  }

  /**
   * Whether a check with this status may decide the verdict.
   * @param {string} check
   * @param {CheckStatus} status
   * @returns {boolean}
   */
  require(check, status) {
    if (!this.#waived.has(check)) return true;
    if (status !== "fail") return false;
    return REFUTING.includes(check) || (check === "components" && this.components);
  }
}

/** Collects what the checks of one run came to; the worst of several stays. */
export class Recorder {
  /** @type {Map<string, {status: CheckStatus, expected: string, found: string}>} */
  #found = new Map();

  /**
   * Record one outcome of a check.
   * @param {string} check
   * @param {CheckStatus} status
   * @param {string} expected
   * @param {string} found
   */
  note(check, status, expected, found) {
    const before = this.#found.get(check);
    if (before === undefined || WORSE[status] > WORSE[before.status]) {
      this.#found.set(check, { status, expected, found });
    }
  }

  /**
   * What a check came to so far.
   * @param {string} check
   * @returns {CheckStatus}
   */
  status(check) {
    return this.#found.get(check)?.status ?? "unchecked";
  }

  /**
   * Whether all of `checks` came to `status`.
   * @param {readonly string[]} checks
   * @param {CheckStatus} [status]
   * @returns {boolean}
   */
  all(checks, status = "pass") {
    return checks.every((check) => this.status(check) === status);
  }

  /**
   * Whether any of `checks` came to `status`.
   * @param {readonly string[]} checks
   * @param {CheckStatus} status
   * @returns {boolean}
   */
  any(checks, status) {
    return checks.some((check) => this.status(check) === status);
  }

  /**
   * All checks in their order; a platform's own after the document's chain.
   * @param {Demands} demands
   * @returns {Check[]}
   */
  checks(demands) {
    const place = CHECKS.indexOf(BEFORE_PLATFORMS_OWN) + 1;
    const all = [
      ...CHECKS.slice(0, place),
      ...demands.platformsOwn,
      ...CHECKS.slice(place),
    ];
    return all.map((id) => {
      const { status, expected, found } = this.#found.get(id) ?? {
        status: /** @type {CheckStatus} */ ("unchecked"),
        expected: "",
        found: NOT_REACHED,
      };
      return { id, status, required: demands.require(id, status), expected, found };
    });
  }
}

/**
 * The verdict over all checks; fail closed.
 *
 * An archived document is never better than unchecked, unless the policy has
 * `archives`.
 * @param {readonly Check[]} checks
 * @param {Demands} demands
 * @returns {Verdict}
 */
export function verdict(checks, demands) {
  const required = checks.filter((check) => check.required);
  if (required.some((check) => check.status === "fail")) return "refuted";
  if (required.some((check) => check.status === "unchecked")) return "unchecked";
  return demands.archived && !demands.archives ? "unchecked" : "verified";
}
