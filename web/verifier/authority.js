/**
 * Who may say what at index i: one forward pass, the same for log, monitor and
 * verifier.
 *
 * The order of the log is the only clock (docs/protocol.md 2.2). Entries are fed to
 * `accept` in ascending order; each is judged at its own index by what came before it.
 * Afterwards `isVoid` tells with hindsight: a compromise that was declared later takes
 * away what a key said in favour of something, never what it said against it.
 *
 * standing.js has the other half: what names have, by the identities accepted so far.
 */

import { VerificationError } from "./errors.js";
import { PublicKey } from "./keys.js";
import { REGISTRAR } from "./predicates.js";
import { Accepted, Standing } from "./standing.js";
import { MEASUREMENT_REASONS } from "./statement.js";

/** @import { Bytes } from "./encoding.js" */
/** @import { Entry } from "./entry.js" */
/** @import { Identity, Measured } from "./predicates.js" */
/** @import { State } from "./standing.js" */

const ENROL = "enrol";

/** The judgement over the entries fed so far. */
export class Authority extends Standing {
  /** @param {string} origin of the log */
  constructor(origin) {
    super();
    this.origin = origin;
  }

  /**
   * Judge an entry at its index, and remember it if it is an identity.
   * @param {Entry} entry
   * @throws {VerificationError} nobody with this key may say this here
   * @throws {UncheckedError} signed by a key of an unknown algorithm
   */
  async accept(entry) {
    const { predicate } = entry;
    if (predicate.log !== this.origin) {
      throw new VerificationError(
        `entry ${entry.index} is made for the log ${predicate.log}, not for ${this.origin}`,
      );
    }
    if (predicate.kind !== "identity") {
      this.#checkSpeaker(entry, predicate);
      await this.#checkSignatures(entry, new Map());
      return;
    }
    const accepted = this.#judgeIdentity(entry, predicate);
    this.#checkKeys(accepted);
    // Only entry 0 is signed by a key that nobody has seen before.
    const own = new Map(predicate.keys.map((key) => [key.keyid, key.key]));
    await this.#checkSignatures(entry, own);
    this.remember(accepted);
  }

  /**
   * Whether a statement accepted at its index no longer speaks for anything.
   * @param {Entry} entry
   */
  isVoid(entry) {
    const { predicate } = entry;
    if (predicate.kind === "identity") {
      const chain = this.chain(predicate.name);
      const accepted = chain.find((one) => one.index === entry.index);
      return accepted === undefined || this.isVoidIdentity(accepted);
    }
    try {
      this.#checkSpeaker(entry, predicate);
    } catch (error) {
      if (error instanceof VerificationError) return true;
      throw error;
    }
    return false;
  }

  // --- statements -------------------------------------------------------------------

  /**
   * @param {Entry} entry
   * @param {Measured} predicate
   */
  #checkSpeaker(entry, predicate) {
    const { keyid } = entry;
    const { issuer } = predicate;
    const state = this.state(issuer, entry.index);
    if (!state.keys.has(keyid) || this.compromised(keyid, entry.index)) {
      throw new VerificationError(
        `entry ${entry.index}: key ${keyid} is not an active key of ${issuer} at this index`,
      );
    }
    if (!mayMake(predicate, state, keyid)) {
      const roles = [...state.roles].sort().join(", ") || "none";
      throw new VerificationError(
        `entry ${entry.index}: ${issuer} may not make this ${predicate.kind}` +
          ` (roles: ${roles})`,
      );
    }
  }

  /**
   * @param {Entry} entry
   * @param {ReadonlyMap<string, Bytes>} own keys that the entry itself brings
   */
  async #checkSignatures(entry, own) {
    const { signed, signatures } = entry.envelope;
    /** @type {[PublicKey, Bytes][]} */
    const owed = [];
    for (const [keyid, signature] of signatures) {
      const spki = this.spki(keyid) ?? own.get(keyid);
      if (spki === undefined) {
        throw new VerificationError(`entry ${entry.index}: key ${keyid} is not known`);
      }
      owed.push([await PublicKey.fromSpki(spki), signature]);
    }
    for (const [key, signature] of owed) await key.verify(signature, signed);
  }

  // --- identities -------------------------------------------------------------------

  /**
   * @param {Entry} entry
   * @param {Identity} identity
   */
  #judgeIdentity(entry, identity) {
    const newest = this.newest(identity.name);
    if (identity.previous !== newest) {
      throw new VerificationError(
        `entry ${entry.index}: previous is ${identity.previous ?? "None"}, but the newest` +
          ` identity of ${identity.name} is ${newest ?? "None"}`,
      );
    }
    return identity.name === REGISTRAR
      ? this.#judgeRegistrar(entry, identity)
      : this.#judgeName(entry, identity);
  }

  /**
   * @param {Entry} entry
   * @param {Identity} identity
   */
  #judgeRegistrar(entry, identity) {
    const { signers } = identity;
    let uses = this.state(REGISTRAR, entry.index).keys;
    if (entry.index === 0) {
      uses = new Map(identity.keys.map((key) => [key.keyid, key.use ?? null]));
    }
    if (signers.length !== 1 || uses.get(signers[0]) !== "root") {
      throw new VerificationError(
        `entry ${entry.index}: one active root key signs the registrar's identity,` +
          " nothing else does",
      );
    }
    return new Accepted(entry, identity, signers, signers, []);
  }

  /**
   * @param {Entry} entry
   * @param {Identity} identity
   */
  #judgeName(entry, identity) {
    const { name, signers } = identity;
    const registrar = this.state(REGISTRAR, entry.index).keys;
    const state = this.state(name, entry.index);
    const byRegistrar = signers.filter((keyid) => registrar.get(keyid) === ENROL);
    const byName = signers.filter((keyid) => state.keys.has(keyid));
    const rest = signers.filter(
      (keyid) => !byRegistrar.includes(keyid) && !byName.includes(keyid),
    );
    const returning = rest.filter(
      (keyid) => this.owner(keyid) === name && !this.everCompromised(keyid),
    );
    const co = byRegistrar.length > 0;
    const allowed = co
      ? byRegistrar.length === 1 && rest.length === returning.length
      : this.chain(name).length > 0 && byName.length === 1 && rest.length === 0;
    if (!allowed) {
      throw new VerificationError(
        `entry ${entry.index}: signed by neither an enrol key of the registrar nor one` +
          ` active key of ${name}`,
      );
    }
    if (identity.issuer !== (co ? REGISTRAR : name)) {
      throw new VerificationError(`entry ${entry.index}: issuer is not who signs it`);
    }
    const accepted = new Accepted(entry, identity, byRegistrar, byName, returning);
    if (!co) this.#checkAlone(accepted, state);
    return accepted;
  }

  /**
   * A key of the name, alone, may only take away (and only from now on).
   * @param {Accepted} accepted
   * @param {State} state
   */
  #checkAlone(accepted, state) {
    const { active, index, byName } = accepted;
    const roles = new Set(/** @type {readonly string[]} */ (accepted.identity.roles));
    const given = [...active.keys()].some((keyid) => !state.keys.has(keyid));
    const taken = [...state.keys.keys()].some((keyid) => !active.has(keyid));
    const same =
      roles.size === state.roles.size &&
      [...roles].every((one) => state.roles.has(one));
    if (given || !taken || !same) {
      throw new VerificationError(
        `entry ${index}: a key of the name alone may only retire keys or declare itself` +
          " compromised; for more, let the registrar co-sign",
      );
    }
    for (const [keyid, since] of accepted.declared()) {
      const datedBack = since < this.since(keyid) && since < index;
      if (datedBack || (!byName.includes(keyid) && !this.everCompromised(keyid))) {
        throw new VerificationError(
          `entry ${index}: to declare another key compromised, or to date back, needs the` +
            " registrar",
        );
      }
    }
  }

  /**
   * What no signature can allow: others' keys, and the return of lost ones.
   * @param {Accepted} accepted
   */
  #checkKeys(accepted) {
    const { name, keys } = accepted.identity;
    const active = this.state(name, accepted.index).keys;
    for (const { keyid, status } of keys) {
      const owner = this.owner(keyid);
      let problem;
      if (owner !== undefined && owner !== name) {
        problem = `belongs to ${owner}, for ever`;
      } else if (owner === undefined && status !== "active") {
        problem = "is not yet known, so it can only be active";
      } else if (this.everCompromised(keyid) && status !== "compromised") {
        problem = "is compromised, for ever";
      } else if (
        status === "active" &&
        owner === name &&
        !active.has(keyid) &&
        !accepted.returning.includes(keyid)
      ) {
        problem = "was retired: the registrar and that key return it together";
      }
      if (problem !== undefined) {
        throw new VerificationError(`entry ${accepted.index}: key ${keyid} ${problem}`);
      }
    }
  }
}

/**
 * @param {Measured} predicate
 * @param {State} state of its issuer
 * @param {string} keyid that signed it
 */
function mayMake(predicate, state, keyid) {
  if (predicate.issuer === REGISTRAR) {
    return (
      predicate.kind === "revocation" &&
      MEASUREMENT_REASONS.includes(predicate.reason) &&
      state.keys.get(keyid) === ENROL
    );
  }
  if (predicate.kind === "release") return state.roles.has("provider");
  if (predicate.kind === "audit") return state.roles.has("auditor");
  return true; // Taking away needs no role.
}

/**
 * Check that a revocation of a statement repeats one of its issuer's, made before.
 * @param {Entry} entry any entry; all but such revocations pass
 * @param {ReadonlyMap<string, Entry>} known earlier entries by the SHA-256 of their
 *   statement; at least those under the revocation's own `v1/by` keys
 * @throws {VerificationError} no such release or audit, or not repeated byte for byte
 */
export function checkTarget(entry, known) {
  const { predicate, registers } = entry.statement;
  if (predicate.kind !== "revocation" || predicate.statement === undefined) return;
  const target = known.get(predicate.statement);
  const named = target?.predicate;
  let problem;
  if (target === undefined || (named?.kind !== "release" && named?.kind !== "audit")) {
    problem = "names no earlier release or audit about its measurement";
  } else if (named.issuer !== predicate.issuer) {
    problem = "names a statement of another issuer";
  } else if (
    named.platform !== predicate.platform ||
    !sameLists(named.identity, predicate.identity) ||
    !sameRegisters(target.statement.registers, registers)
  ) {
    problem = "does not repeat platform, identity and subject of its statement";
  }
  if (problem !== undefined) {
    throw new VerificationError(`entry ${entry.index}: the revocation ${problem}`);
  }
}

/**
 * @param {readonly (readonly string[])[]} one
 * @param {readonly (readonly string[])[]} other
 */
function sameLists(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/**
 * @param {ReadonlyMap<string, string>} one
 * @param {ReadonlyMap<string, string>} other
 */
function sameRegisters(one, other) {
  return (
    one.size === other.size && [...one].every(([name, d]) => other.get(name) === d)
  );
}
