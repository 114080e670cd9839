/**
 * What names have: the identities accepted so far, and what they come to with
 * hindsight.
 *
 * The second half of authority.js, which judges entries and adds to it. An identity
 * keeps its place in its name's chain for ever; whether it is void is told by all that
 * is known now, also by what was declared later.
 */

import { REGISTRAR } from "./predicates.js";

/** @import { Bytes } from "./encoding.js" */
/** @import { Entry } from "./entry.js" */
/** @import { Identity } from "./predicates.js" */

const ROOT = "root";
/** After every index: no compromise was declared. */
const NEVER = Infinity;

/**
 * What a name has at some index: keyid to `use` of its active keys, and roles.
 * @typedef {object} State
 * @property {ReadonlyMap<string, string | null>} keys
 * @property {ReadonlySet<string>} roles
 */

/** @type {State} */
const NOBODY = { keys: new Map(), roles: new Set() };

/**
 * An accepted identity, with who it was that signed it.
 *
 * `byRegistrar`: an enrol key (for the registrar's own, a root key). `byName`: the
 * active keys of the name among its signers. `returning`: a retired key that signed its
 * own return.
 */
export class Accepted {
  /**
   * @param {Entry} entry
   * @param {Identity} identity
   * @param {readonly string[]} byRegistrar
   * @param {readonly string[]} byName
   * @param {readonly string[]} returning
   */
  constructor(entry, identity, byRegistrar, byName, returning) {
    this.index = entry.index;
    this.sha256 = entry.sha256;
    this.identity = identity;
    this.byRegistrar = byRegistrar;
    this.byName = byName;
    this.returning = returning;
    /** @type {ReadonlyMap<string, string | null>} keyid to use */
    this.active = new Map(
      identity.keys
        .filter((key) => key.status === "active")
        .map((key) => [key.keyid, key.use ?? null]),
    );
  }

  /**
   * Keys that it declares compromised, and since which index.
   * @returns {[keyid: string, since: number][]}
   */
  declared() {
    return this.identity.keys
      .filter((key) => key.status === "compromised")
      .map((key) => [key.keyid, Math.min(key.since ?? 0, this.index)]);
  }
}

/** The identities accepted so far. */
export class Standing {
  /** @type {Map<string, Accepted[]>} */
  #chains = new Map();
  /** @type {Map<string, string>} keyid to the name that it belongs to, for ever */
  #owners = new Map();
  /** @type {Map<string, Bytes>} keyid to SPKI */
  #keys = new Map();
  /** @type {Map<string, {declarer: number, since: number}[]>} by keyid */
  #compromises = new Map();
  // Both known until the next compromise is declared: by index, and by name and number
  // of its identities.
  /** @type {Map<number, boolean>} */
  #void = new Map();
  /** @type {Map<string, State>} */
  #states = new Map();
  /** @type {Set<string>} */
  #addedByRegistrar = new Set();

  /**
   * The identities of a name, oldest first.
   * @param {string} name
   * @returns {readonly Accepted[]}
   */
  chain(name) {
    return this.#chains.get(name) ?? [];
  }

  /**
   * What `name` has just before `index`, by all that is known now.
   * @param {string} name
   * @param {number} index
   * @returns {State}
   */
  state(name, index) {
    const before = this.chain(name).filter((one) => one.index < index);
    const place = `${name} ${before.length}`;
    const known = this.#states.get(place) ?? this.#judgeState(before);
    this.#states.set(place, known);
    return known;
  }

  /**
   * @param {readonly Accepted[]} chain
   * @returns {State}
   */
  #judgeState(chain) {
    let newest = chain.length - 1;
    while (newest >= 0 && this.isVoidIdentity(chain[newest])) newest -= 1;
    if (newest < 0) return NOBODY;
    const given = chain[newest];
    let keys = [...given.active];
    let roles = [.../** @type {readonly string[]} */ (given.identity.roles)];
    for (const taking of chain.slice(newest + 1)) {
      // A key that was given another use lost the one it had.
      keys = keys.filter(([keyid, use]) => taking.active.get(keyid) === use);
      roles = roles.filter((role) => taking.identity.roles.some((one) => one === role));
    }
    return { keys: new Map(keys), roles: new Set(roles) };
  }

  /**
   * The keys of `name` that a policy trusts that pins keyids `pins`.
   *
   * These, and the keys added by each identity that is accepted, not void and signed by
   * an active key of the set.
   * @param {string} name
   * @param {readonly string[]} pins
   * @returns {ReadonlySet<string>}
   */
  pinned(name, pins) {
    const pinned = new Set(pins);
    for (const one of this.chain(name)) {
      if (!one.byName.some((keyid) => pinned.has(keyid))) continue;
      if (this.isVoidIdentity(one)) continue;
      const before = this.state(name, one.index).keys;
      for (const keyid of one.active.keys()) if (!before.has(keyid)) pinned.add(keyid);
    }
    return pinned;
  }

  /**
   * Whether the registrar alone added this key to a name that was enrolled.
   * @param {string} keyid
   * @returns {boolean}
   */
  addedByRegistrar(keyid) {
    return this.#addedByRegistrar.has(keyid);
  }

  /**
   * SHA-256 of the newest accepted identity of `name`: the next `previous`.
   * @param {string} name
   * @returns {string | undefined}
   */
  newest(name) {
    return this.chain(name).at(-1)?.sha256;
  }

  /**
   * The name that a keyid belongs to, for ever.
   * @param {string} keyid
   * @returns {string | undefined}
   */
  owner(keyid) {
    return this.#owners.get(keyid);
  }

  /**
   * The key of a keyid, as SPKI, if an accepted identity has it.
   * @param {string} keyid
   * @returns {Bytes | undefined}
   */
  spki(keyid) {
    return this.#keys.get(keyid);
  }

  /**
   * The root keyids of entry 0: what a policy pins.
   * @returns {ReadonlySet<string>}
   */
  rootKeys() {
    const first = this.chain(REGISTRAR)[0];
    if (first === undefined || first.index !== 0) return new Set();
    return new Set(
      [...first.active].flatMap(([keyid, use]) => (use === ROOT ? [keyid] : [])),
    );
  }

  /**
   * Add an identity that was judged to be acceptable.
   * @param {Accepted} accepted
   */
  remember(accepted) {
    const { name } = accepted.identity;
    const chain = this.chain(name);
    if (chain.length > 0 && name !== REGISTRAR && accepted.byName.length === 0) {
      const before = this.state(name, accepted.index).keys;
      for (const keyid of accepted.active.keys()) {
        const returned = accepted.returning.includes(keyid);
        if (!before.has(keyid) && !returned) this.#addedByRegistrar.add(keyid);
      }
    }
    this.#chains.set(name, [...chain, accepted]);
    for (const key of accepted.identity.keys) {
      this.#owners.set(key.keyid, name);
      this.#keys.set(key.keyid, key.key);
    }
    for (const [keyid, since] of accepted.declared()) {
      const earlier = since < this.since(keyid);
      const declared = this.#compromises.get(keyid) ?? [];
      this.#compromises.set(keyid, [...declared, { declarer: accepted.index, since }]);
      if (earlier) {
        // To say it again changes no judgement.
        this.#void.clear();
        this.#states.clear();
      }
    }
  }

  // --- hindsight ------------------------------------------------------------------

  /**
   * Whether anybody ever declared this key compromised.
   * @param {string} keyid
   * @returns {boolean}
   */
  everCompromised(keyid) {
    return this.#compromises.has(keyid);
  }

  /**
   * The smallest index since which a key is compromised, or no index at all.
   * @param {string} keyid
   * @returns {number}
   */
  since(keyid) {
    const declared = this.#compromises.get(keyid) ?? [];
    return Math.min(NEVER, ...declared.map((one) => one.since));
  }

  /**
   * Whether a key is compromised at `index`, but for what `declarer` says.
   *
   * Who says it again, as later identities do that list the key, adds nothing.
   * @param {string} keyid
   * @param {number} index
   * @param {number} [declarer]
   * @returns {boolean}
   */
  compromised(keyid, index, declarer) {
    const declared = this.#compromises.get(keyid) ?? [];
    const its = declared.filter((one) => one.declarer === declarer);
    const own = Math.min(NEVER, ...its.map((one) => one.since));
    return declared.some((one) => one.since <= index && one.since < own);
  }

  /**
   * Whether an accepted identity gives nothing any more.
   * @param {Accepted} accepted
   * @returns {boolean}
   */
  isVoidIdentity(accepted) {
    const known = this.#void.get(accepted.index);
    if (known !== undefined) return known;
    // Oldest first: no chain is then too long for the stack.
    for (const name of [REGISTRAR, accepted.identity.name]) {
      for (const earlier of this.chain(name)) {
        if (earlier.index <= accepted.index && !this.#void.has(earlier.index)) {
          this.#void.set(earlier.index, this.#judgeVoid(earlier));
        }
      }
    }
    return this.#void.get(accepted.index) ?? true;
  }

  /**
   * @param {Accepted} one
   * @returns {boolean}
   */
  #judgeVoid(one) {
    // The use of a signer need not be compared: a key in the state has the use that the
    // last identity before gives it, which is the one it was accepted with.
    const { signers, name } = one.identity;
    if (signers.some((keyid) => this.compromised(keyid, one.index, one.index))) {
      return true;
    }
    if (one.index === 0) return false;
    const registrar = this.state(REGISTRAR, one.index).keys;
    if (one.byRegistrar.some((keyid) => !registrar.has(keyid))) return true;
    const own = this.state(name, one.index).keys;
    return one.byName.some((keyid) => !own.has(keyid));
  }
}
