/**
 * The members of the four predicates, as shapes: the tables of docs/protocol.md 2.1.
 *
 * statement.js has the rules that tie members together. An optional member is absent,
 * never null. A list that is a set has an order: ascending by what ORDER gives, without
 * repeats.
 */

import * as limits from "./limits.js";
import { KEYID } from "./envelope.js";
import { PLATFORM, REGISTER } from "./measurement.js";
import { base64, dictionary, integer, list, oneOf, record, text } from "./shapes.js";

export const REGISTRAR = "registrar";

const LABELS =
  /[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*/
    .source;
export const NAME = new RegExp(`^(?=.{1,64}$)${LABELS}$`);
export const PRODUCT = new RegExp(`^(?=.{1,64}/)${LABELS}/[a-z0-9][a-z0-9._-]{0,62}$`);
export const VERSION = /^[0-9A-Za-z._-]{1,64}$/;
export const ORIGIN = /^[!-*,-~]{1,255}$/;

const HOST = /[a-z0-9][a-z0-9.-]*(?::[1-9][0-9]{0,4})?/.source;
const PATH = /\/[0-9A-Za-z._~!$&'()*+,;=:@%/-]*/.source;

const name = text(NAME);
const product = text(PRODUCT);
const version = text(VERSION);
const origin = text(ORIGIN);
const platform = text(PLATFORM);
const time = text(/^[0-9TZ:-]{20}$/);
const sha256 = KEYID;
const uri = text(new RegExp(`^(?:git\\+)?https://${HOST}(?:${PATH})?$`), limits.URI);
const commit = text(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/);
const word = text(/^[a-z0-9][a-z0-9-]{0,31}$/);
const short = text(/^[0-9A-Za-z_]{1,32}$/);

/** The image file that boots to the registers. */
const image = record({ sha256, size: integer() }, { uri });
/** Where the source is, and the commit that was built. */
const source = record({ uri, commit });
/** A document elsewhere: words live behind a URI and their digest. */
const document = record({ uri, sha256 });
/** A tool of the build, by name and digest. */
const tool = record({ name: text(/^[0-9A-Za-z._+@/:-]{1,64}$/), sha256 });
/** How to build: the recipe, and the tools that it needs. */
const build = record({ recipe: document }, { tools: list(tool) });
/** A part made elsewhere: a product (its provider comes first), and its digest. */
const component = record({ product, sha256 });
/** What hands over secrets: a KMS policy and the like, by kind and digest. */
const control = record({ kind: word, sha256 }, { uri });
/** Which field of the attestation document names the channel, and as what. */
const binding = record({
  field: oneOf("public_key", "user_data"),
  kind: oneOf("tls-spki-sha256", "tls-cert-sha256", "raw-key"),
});
/** A document about the release. */
const reference = record({
  kind: oneOf(
    "slsa-provenance",
    "sbom",
    "vex",
    "advisory",
    "release-notes",
    "build-log",
  ),
  uri,
  sha256,
});
/** Findings of a review that are not closed, by severity. */
const openFindings = record({
  critical: integer(),
  high: integer(),
  medium: integer(),
  low: integer(),
});
/** The earlier source review that this one builds on. */
const basis = record({ commit, sha256 });
/** One key of an identity: SPKI `key` (JSON: base64), what it may be used for. */
const identityKey = record(
  {
    keyid: KEYID,
    key: base64({ most: limits.SPKI }),
    status: oneOf("active", "retired", "compromised"),
  },
  { since: integer(), use: oneOf("root", "enrol") },
);

const spoken = { log: origin, issuer: name, issued: time };
const measured = { ...spoken, platform, identity: list(list(short)) };

/** `urn:pcrlog:release:v1`: these registers are this version of this product. */
export const RELEASE = record(
  { ...measured, product, version },
  {
    variant: text(/^[a-z0-9_]{1,16}$/),
    expires: time,
    image,
    source,
    build,
    components: list(component),
    controls: list(control),
    binding,
    references: list(reference),
    numbers: dictionary(short, integer()),
  },
);

/** `urn:pcrlog:audit:v1`: an auditor rebuilt or reviewed, with this result. */
export const AUDIT = record(
  {
    ...measured,
    scope: word,
    result: oneOf("pass", "qualified", "fail"),
    performed: time,
  },
  {
    source,
    recipe: sha256,
    found: list(REGISTER),
    open: openFindings,
    basis,
    components: sha256,
    controls: sha256,
    report: document,
    expires: time,
  },
);

/** `urn:pcrlog:revocation:v1`: a measurement or a statement no longer stands. */
export const REVOCATION = record(
  { ...measured, reason: word },
  { statement: sha256, effective: time, reference: document },
);

/** `urn:pcrlog:identity:v1`: the keys and roles of a name from here on. */
export const IDENTITY = record(
  {
    ...spoken,
    name,
    signers: list(KEYID, { least: 1, most: 2 }),
    roles: list(oneOf("auditor", "provider")),
    keys: list(identityKey, { least: 1, most: limits.KEYS_OF_IDENTITY }),
  },
  { previous: sha256 },
);

// `kind` is no member of the JSON: statement.js sets it, so that code can tell them apart.
/** @typedef {ReturnType<typeof RELEASE> & { readonly kind: "release" }} Release */
/** @typedef {ReturnType<typeof AUDIT> & { readonly kind: "audit" }} Audit */
/** @typedef {ReturnType<typeof REVOCATION> & { readonly kind: "revocation" }} Revocation */
/** @typedef {ReturnType<typeof IDENTITY> & { readonly kind: "identity" }} Identity */
/** @typedef {Release | Audit | Revocation} Measured */
/** @typedef {Measured | Identity} Predicate */

/** @typedef {ReturnType<typeof component>} Component */
/** @typedef {ReturnType<typeof control>} Control */
/** @typedef {ReturnType<typeof reference>} Reference */
/** @typedef {ReturnType<typeof tool>} BuildTool */
/** @typedef {ReturnType<typeof identityKey>} IdentityKey */
/** @typedef {ReturnType<typeof source>} Source */
/** @typedef {ReturnType<typeof document>} Document */
/** @typedef {ReturnType<typeof binding>} Binding */
/** @typedef {ReturnType<typeof openFindings>} OpenFindings */

/** By which an item has its place in a sorted list. */
export const ORDER = {
  /** @param {Component} one */
  components: (one) => [one.product, one.sha256],
  /** @param {Control} one */
  controls: (one) => [one.kind, one.sha256, one.uri ?? ""],
  /** @param {Reference} one */
  references: (one) => [one.kind, one.uri, one.sha256],
  /** @param {BuildTool} one */
  tools: (one) => [one.name, one.sha256],
  /** @param {IdentityKey} one */
  keys: (one) => [one.keyid],
};
