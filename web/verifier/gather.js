/**
 * Which keys of the index must be answered to judge one measurement of one product.
 *
 * Log and verifier walk the same way: the log over its database, to fill a bundle, the
 * verifier over a bundle, to find what it must hold (docs/protocol.md section 4). Each
 * asks for
 *
 * - `v1/identity/N` and `v1/by/N/<platform>/<M>` for N the product's provider, each
 *   auditor and the registrar;
 * - `v1/by/N/source/commit=…` for each auditor and each commit of every release of the
 *   product with that measurement and of every reproduction of it, and for each review
 *   found there, for its auditor, along its `basis`;
 * - `v1/version/<product>/<version>` of each such release; where that names another
 *   measurement, the provider's and the registrar's answers for it;
 * - the same for each component that such a release names, newest release first, under
 *   the component's own provider.
 *
 * What is found is looked at in form only: whether it counts is judged afterwards, by
 * verification/. What `ask` does with a missing answer is its own affair.
 */

import * as limits from "./limits.js";
import { by, ofIdentity, ofVersion } from "./index-keys.js";
import { REGISTRAR } from "./predicates.js";
import { REPRODUCTION } from "./statement.js";

/** @import { Entry } from "./entry.js" */
/** @import { Component, Release } from "./predicates.js" */

/**
 * Key string to its entries, ascending; the entries are well-formed statements.
 * @typedef {(key: string) => Promise<readonly Entry[]>} Ask
 */
/**
 * Names of the auditors of a component's product.
 * @typedef {(product: string) => readonly string[]} AuditorsOf
 */

const COMMIT = "commit=gitCommit:";
const ARTIFACT = "artifact";

/**
 * What was found about one measurement of one product.
 *
 * `statements` are all answers by issuer; `reviews` the source reviews by auditor and
 * commit; `rivals` the releases of the versions concerned; `rivalStatements` what is
 * said of rivals' measurements; `parts` the components' subjects, by `componentKey`.
 * `complete` is false when a bound (depth, number of components, length of a basis
 * chain) or a cycle cut the walk short.
 */
export class Subject {
  /** @type {Map<string, readonly Entry[]>} */
  statements = new Map();
  /** @type {Map<string, Map<string, readonly Entry[]>>} */
  reviews = new Map();
  /** @type {Map<string, readonly Entry[]>} */
  rivals = new Map();
  /** @type {Map<string, readonly Entry[]>} */
  rivalStatements = new Map();
  /** @type {Map<string, Subject>} */
  parts = new Map();
  complete = true;

  /**
   * @param {string} product
   * @param {string} platform
   * @param {readonly string[]} measurements
   * @param {readonly string[]} auditors
   */
  constructor(product, platform, measurements, auditors) {
    this.product = product;
    this.platform = platform;
    this.measurements = measurements;
    this.auditors = auditors;
  }

  /** The identity whose releases count: the product's first part. */
  get provider() {
    return providerOf(this.product);
  }

  /**
   * The provider's releases of this product with this measurement, ascending.
   * @returns {[Entry, Release][]}
   */
  get releases() {
    const said = this.statements.get(this.provider) ?? [];
    /** @type {[Entry, Release][]} */
    const found = [];
    for (const entry of said) {
      const { predicate } = entry;
      if (predicate.kind === "release" && predicate.product === this.product) {
        found.push([entry, predicate]);
      }
    }
    return found;
  }

  /**
   * The commits of the releases and reproductions, each once.
   * @returns {string[]}
   */
  get commits() {
    const sources = this.releases.map(([, release]) => release.source);
    for (const name of this.auditors) {
      for (const { predicate } of this.statements.get(name) ?? []) {
        if (predicate.kind === "audit" && predicate.scope === REPRODUCTION) {
          sources.push(predicate.source);
        }
      }
    }
    return [...new Set(sources.flatMap((source) => (source ? [source.commit] : [])))];
  }

  /**
   * Forget entries, by index, that count for nothing, either way.
   * @param {ReadonlySet<number>} refused
   */
  drop(refused) {
    const all = [this.statements, this.rivals, this.rivalStatements];
    for (const found of [...all, ...this.reviews.values()]) {
      for (const [key, entries] of found) {
        found.set(
          key,
          entries.filter((entry) => !refused.has(entry.index)),
        );
      }
    }
  }

  /**
   * All entries found here, without those of parts; some stand twice.
   * @returns {Entry[]}
   */
  entries() {
    const all = [
      this.statements,
      ...this.reviews.values(),
      this.rivals,
      this.rivalStatements,
    ];
    return all.flatMap((found) => [...found.values()].flat());
  }
}

/** One walk: its `subjects`, the root first, and the identities of names met. */
export class Gathering {
  /**
   * @param {readonly [Subject, ...Subject[]]} subjects
   * @param {ReadonlyMap<string, readonly Entry[]>} identities
   */
  constructor(subjects, identities) {
    this.subjects = subjects;
    this.identities = identities;
  }

  /**
   * All entries found, each once, ascending: the order of judgement.
   * @returns {Entry[]}
   */
  entries() {
    /** @type {Map<number, Entry>} */
    const found = new Map();
    const all = [...this.subjects.flatMap((one) => one.entries())];
    for (const entries of this.identities.values()) all.push(...entries);
    for (const entry of all) found.set(entry.index, entry);
    return ascending(found);
  }

  /**
   * Indices of entries whose statement stands at a smaller index already.
   *
   * They count for nothing (docs/protocol.md 2.1).
   * @returns {Set<number>}
   */
  repeats() {
    /** @type {Set<string>} */
    const met = new Set();
    /** @type {Set<number>} */
    const repeated = new Set();
    for (const entry of this.entries()) {
      if (met.has(entry.sha256)) repeated.add(entry.index);
      met.add(entry.sha256);
    }
    return repeated;
  }
}

/**
 * The identity that a product stands under: its first part.
 * @param {string} product
 */
export function providerOf(product) {
  return product.split("/", 1)[0] ?? product;
}

/**
 * A component's place among the parts of a subject.
 * @param {Component} component
 */
export function componentKey({ product, sha256 }) {
  return `${product} ${sha256}`;
}

/**
 * @param {ReadonlyMap<number, Entry>} found
 * @returns {Entry[]}
 */
function ascending(found) {
  return [...found.values()].sort((a, b) => (a.index < b.index ? -1 : 1));
}

class Walk {
  /** @type {Map<string, readonly Entry[]>} */
  identities = new Map();
  /** @type {Map<string, Subject>} */
  subjects = new Map();
  #ask;
  #askIfThere;
  #auditorsOf;

  /**
   * @param {Ask} ask
   * @param {Ask} askIfThere
   * @param {AuditorsOf} auditorsOf
   */
  constructor(ask, askIfThere, auditorsOf) {
    this.#ask = ask;
    this.#askIfThere = askIfThere;
    this.#auditorsOf = auditorsOf;
  }

  /**
   * @param {Subject} subject
   * @param {readonly string[]} above keys of the components on the way here
   */
  async walk(subject, above) {
    for (const name of new Set([subject.provider, ...subject.auditors, REGISTRAR])) {
      subject.statements.set(name, await this.#about(name, subject));
    }
    for (const name of subject.auditors) await this.#reviewsBy(name, subject);
    await this.#rivalsOf(subject);
    await this.#partsOf(subject, above);
  }

  /**
   * @param {string} name
   * @param {Subject} subject
   */
  async #about(name, subject) {
    if (!this.identities.has(name)) {
      this.identities.set(name, await this.#ask(ofIdentity(name)));
    }
    /** @type {Map<number, Entry>} */
    const found = new Map();
    for (const measurement of subject.measurements) {
      const answered = await this.#ask(by(name, subject.platform, measurement));
      for (const entry of answered) found.set(entry.index, entry);
    }
    return ascending(found);
  }

  /**
   * @param {string} name of an auditor
   * @param {Subject} subject
   */
  async #reviewsBy(name, subject) {
    /** @type {Map<string, readonly Entry[]>} */
    const found = new Map();
    subject.reviews.set(name, found);
    const todo = subject.commits.map((commit) => ({ commit, depth: 0 }));
    // Breadth first: each commit is met on its shortest way. The list grows as it is read.
    for (const { commit, depth } of todo) {
      if (found.has(commit)) continue;
      const reviews = await this.#ask(by(name, "source", COMMIT + commit));
      found.set(commit, reviews);
      const bases = reviews.flatMap(({ predicate }) =>
        predicate.kind === "audit" && predicate.basis ? [predicate.basis.commit] : [],
      );
      if (depth < limits.BASIS_CHAIN) {
        todo.push(...bases.map((basis) => ({ commit: basis, depth: depth + 1 })));
      } else if (bases.length > 0) {
        subject.complete = false;
      }
    }
  }

  /** @param {Subject} subject */
  async #rivalsOf(subject) {
    const ours = new Set(subject.measurements);
    for (const version of new Set(
      subject.releases.map(([, release]) => release.version),
    )) {
      const rivals = await this.#ask(ofVersion(subject.product, version));
      subject.rivals.set(version, rivals);
      for (const { predicate, statement } of rivals) {
        if (predicate.kind !== "release" || predicate.platform !== subject.platform)
          continue;
        for (const other of statement.measurements) {
          if (ours.has(other)) continue;
          for (const name of [subject.provider, REGISTRAR]) {
            const key = by(name, subject.platform, other);
            subject.rivalStatements.set(key, await this.#askIfThere(key));
          }
        }
      }
    }
  }

  /**
   * @param {Subject} subject
   * @param {readonly string[]} above
   */
  async #partsOf(subject, above) {
    /** @type {Map<string, Component>} */
    const wanted = new Map();
    for (const [, release] of subject.releases.reverse()) {
      for (const component of release.components ?? []) {
        const key = componentKey(component);
        if (!wanted.has(key)) wanted.set(key, component);
      }
    }
    for (const [key, component] of wanted) {
      if (above.includes(key) || above.length >= limits.COMPONENT_DEPTH) {
        subject.complete = false;
        continue;
      }
      let part = this.subjects.get(key);
      if (part === undefined) {
        if (this.subjects.size >= limits.COMPONENTS_IN_ALL) {
          subject.complete = false;
          continue;
        }
        const { product, sha256 } = component;
        const measurements = [`digest=sha256:${sha256}`];
        part = new Subject(product, ARTIFACT, measurements, this.#auditorsOf(product));
        this.subjects.set(key, part);
        await this.walk(part, [...above, key]);
      }
      subject.parts.set(key, part);
    }
  }
}

/**
 * Fill `subject`, which has its product, platform, measurements and auditors.
 * @param {Subject} subject what to ask about
 * @param {Ask} ask answers keys that must be answered
 * @param {Ask} askIfThere answers keys whose lack only leaves a conflict standing
 * @param {AuditorsOf} auditorsOf chooses the auditors of a component's product
 * @returns {Promise<Gathering>}
 */
export async function gather(subject, ask, askIfThere, auditorsOf) {
  const walk = new Walk(ask, askIfThere, auditorsOf);
  await walk.walk(subject, []);
  return new Gathering([subject, ...walk.subjects.values()], walk.identities);
}
