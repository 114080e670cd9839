/**
 * Answers of conformance.js about authority, links and verdicts.
 */

import { bytes, integer, list, object, text } from "./ask.js";
import { Authority, checkTarget } from "./authority.js";
import { parseEntry } from "./entry.js";
import { PcrlogError } from "./errors.js";
import { CHECKS, Demands, Recorder, verdict } from "./verification/checks.js";
import * as links from "./verification/links.js";

/** @import { Ask, AskValue, Operation } from "./ask.js" */
/** @import { Entry } from "./entry.js" */
/** @import { CheckStatus } from "./verification/checks.js" */
/** @import { Status } from "./verification/links.js" */

/**
 * The forward pass, and then what is void with hindsight.
 * @param {Ask} ask
 */
async function authority(ask) {
  const judgement = new Authority(text(ask, "origin"));
  const rows = list(ask, "entries").map(asObject);
  /** @type {Map<string, Entry>} */
  const known = new Map();
  /** @type {Map<number, string>} */
  const judged = new Map();
  /** @type {Entry[]} */
  const accepted = [];
  for (const row of rows) {
    const index = number(row, "index");
    try {
      const entry = await parseEntry(index, bytes(row, "leaf"));
      await judgement.accept(entry);
      checkTarget(entry, known);
      if (!known.has(entry.sha256)) known.set(entry.sha256, entry);
      accepted.push(entry);
      judged.set(index, "accepted");
    } catch (error) {
      if (!(error instanceof PcrlogError)) throw error;
      judged.set(index, error.word);
    }
  }
  for (const entry of accepted) {
    if (judgement.isVoid(entry)) judged.set(entry.index, "void");
  }
  return { entries: rows.map((row) => judged.get(number(row, "index")) ?? null) };
}

/** @param {Ask} ask */
function link(ask) {
  const facts = object(ask, "facts");
  const given = {
    failed: facts.failed === true,
    incomplete: facts.incomplete === true,
    released: facts.released === true,
    claimed: facts.claimed === true,
    listed: facts.listed === true,
    confirmed: facts.confirmed === true,
    passes: Number(facts.passes),
    asked: Number(facts.asked),
    parts: /** @type {Status[]} */ (list(facts, "parts")),
  };
  const { attestation, provider, source, audit, platform, controls } = links;
  const of = [attestation, provider, source, audit, platform, platform, controls];
  return { status: of[number(ask, "link") - 1](given) };
}

/** @param {Ask} ask */
function trustEndsAt(ask) {
  return { ends: links.trustEndsAt(/** @type {Status[]} */ (list(ask, "statuses"))) };
}

/** @param {Ask} ask */
function verdictOf(ask) {
  const policy = object(ask, "policy");
  const checks = object(ask, "checks");
  const demands = new Demands({
    nonce: (policy.nonce ?? "required") === "required",
    channel: policy.channel === "required",
    witnesses: policy.witnesses !== "none",
    indexMonitors: policy.index_monitors !== "none",
    links: policy.links === undefined ? [1, 2] : list(policy, "links").map(Number),
    components: (policy.components ?? "refuse") === "refuse",
    archived: ask.mode === "archived",
    archives: policy.archives === true,
  });
  const recorder = new Recorder();
  for (const check of CHECKS) {
    recorder.note(check, /** @type {CheckStatus} */ (checks[check] ?? "pass"), "", "");
  }
  return { verdict: verdict(recorder.checks(demands), demands) };
}

/**
 * A number that is not as large as the size of a tree may be.
 * @param {Ask} ask
 * @param {string} name
 */
function number(ask, name) {
  return Number(integer(ask, name));
}

/**
 * @param {AskValue} value
 * @returns {Ask}
 */
function asObject(value) {
  return object({ value }, "value");
}

/** @type {{ [op: string]: Operation }} */
export const operations = {
  authority,
  link,
  "trust-ends-at": trustEndsAt,
  verdict: verdictOf,
};
