/** From what one run found to the report that says it, in words first. */

import { encodeHex } from "../encoding.js";
import { providerOf } from "../gather.js";
import { distinct } from "./audits.js";
import { NOT_REACHED, verdict } from "./checks.js";
import * as components from "./components.js";
import { SCOPE_OF_LINK, statusOf } from "./evaluate.js";
import * as ground from "./ground.js";
import * as links from "./links.js";
import { Report } from "./report.js";

/** @import { Document } from "../attestation.js" */
/** @import { Authority } from "../authority.js" */
/** @import { Bytes } from "../encoding.js" */
/** @import { Entry } from "../entry.js" */
/** @import { Registers } from "../measurement.js" */
/** @import { Policy, Product } from "../policy.js" */
/** @import { Check, CheckStatus, Demands, Recorder, Verdict } from "./checks.js" */
/** @import { Chain } from "./evaluate.js" */
/** @import { Status } from "./links.js" */
/** @import { Opened } from "./log.js" */
/** @import { CheckpointShown, ComponentShown, Link } from "./report.js" */

/**
 * Who has to do what for a link that is missing, and for one that is claimed.
 * @type {ReadonlyMap<number, readonly [missing: string, claimed: string]>}
 */
const NEXT = new Map([
  [
    1,
    ["", "the enclave's operator: answer with a fresh document that holds our nonce"],
  ],
  [2, ["the provider: publish a release of these registers (pcrlog release)", ""]],
  [
    3,
    [
      "the provider: name source, commit and recipe (pcrlog release)",
      "an auditor: rebuild it (pcrlog cosign --rebuild, or --scope reproduction)",
    ],
  ],
  [4, ["an auditor: review that commit (pcrlog cosign --scope source-review)", ""]],
  [
    5,
    [
      "the provider: list the components, or that there are none",
      "an auditor: confirm the list is complete (--components-complete); each" +
        " component's provider: release it with its source",
    ],
  ],
  [
    6,
    [
      "the provider: list the components; auditors: review the source of each",
      "an auditor: confirm the list is complete (--components-complete), and review the" +
        " source of each component",
    ],
  ],
  [
    7,
    [
      "the provider: list what hands over secrets (--control, --no-controls)",
      "an auditor: review the controls (pcrlog cosign --scope controls-review)",
    ],
  ],
]);
const FAILED = "a new build; or who speaks against this one takes it back";
const UNCHECKED = "you: ask again, with what the checks say is lacking";

/**
 * What one run is about, and what it has established so far.
 * @typedef {object} Run
 * @property {Policy} policy
 * @property {string} product
 * @property {Product} rules
 * @property {Demands} demands
 * @property {Recorder} recorder
 * @property {Document} [document]
 * @property {Registers} [registers]
 * @property {ReadonlyMap<string, number>} [numbers]
 * @property {string} [platform]
 * @property {Opened} [opened]
 * @property {Authority} [authority]
 * @property {Chain} [chain]
 */

/**
 * The report of a finished run; records `policy.links`, the last check.
 * @param {Run} run
 * @param {Status} link1
 * @returns {Report}
 */
export function report(run, link1) {
  const { chain, document, demands, recorder, rules } = run;
  const rows = chain === undefined ? [] : components.shown(chain);
  const below = infrastructure(run);
  ground.record(below, rules.ground, recorder);
  const shown = showLinks(run, rows, link1);
  const checks = recorder.checks(demands);
  const outcome = verdict(checks, demands);
  const ends = links.trustEndsAt(shown.map((link) => link.status));
  const release = chain?.releases.newestValid;
  const version = release?.[1].version ?? null;
  /** @type {Registers} */
  const matched = release?.[0].statement.registers ?? new Map();
  const rest = [...(run.registers ?? [])].filter(([name]) => !matched.has(name));
  return new Report({
    verdict: outcome,
    headline: headline(outcome, checks, () => claim(run, rows, shown, ends, version)),
    product: run.product,
    version,
    platform: run.platform ?? null,
    registers: {
      matched: Object.fromEntries(matched),
      unlisted: Object.fromEntries(rest),
    },
    public_key: hex(document?.publicKey),
    user_data: hex(document?.userData),
    trust_ends_at: ends,
    links: shown,
    components: rows,
    ground: ground.wordOf(below),
    infrastructure: below,
    remarks: [...new Set(remarks(run))],
    checks,
    checkpoint: checkpoint(run.opened),
    policy_sha256: run.policy.sha256,
    archived: demands.archived,
  });
}

/**
 * @param {Run} run
 * @param {readonly ComponentShown[]} rows
 * @param {Status} link1
 * @returns {readonly Link[]}
 */
function showLinks({ chain, recorder, rules }, rows, link1) {
  const shown = [link(1, link1, link1 === "proven" ? ["run"] : [], [])];
  for (let number = 2; number <= links.COUNT; number += 1) {
    if (chain === undefined) shown.push(link(number, "unchecked", [], []));
    else shown.push(atAComponent(chain, rows, linkOf(chain, number)));
  }
  const demanded = shown.filter(({ number }) => rules.links.includes(number));
  const worst = links.worst("proven", ...demanded.map(({ status }) => status));
  /** @type {CheckStatus} */
  let status = "fail";
  if (worst === "proven") status = "pass";
  else if (worst === "unchecked") status = "unchecked";
  const expected = `links ${rules.links.join(", ")} proven`;
  const found = demanded.map((one) => `${one.number} ${one.status}`).join(", ");
  recorder.note("policy.links", status, expected, found);
  return shown;
}

/**
 * @param {Chain} chain
 * @param {number} number 2 to 7
 * @returns {Link}
 */
function linkOf(chain, number) {
  const { releases, audits } = chain;
  const status = statusOf(chain, number);
  const behind = chain.behind.get(number) ?? [];
  const fails = audits.fails.get(SCOPE_OF_LINK.get(number) ?? "") ?? [];
  let by = distinct(behind);
  let entries = behind.map(([entry]) => entry);
  if (status === "failed" && fails.length > 0) {
    by = fails.map((entry) => entry.predicate.issuer);
    entries = fails;
  } else if (number === 2) {
    // Link 2 rests on the run and the release.
    by = status === "proven" || status === "failed" ? ["run"] : [];
    entries = releases.newestValid === undefined ? [] : [releases.newestValid[0]];
  } else if (status === "claimed") {
    by = [releases.subject.provider];
  }
  return link(number, status, by, entries);
}

/**
 * Link 5 or 6, with what is to be done for the component that it ends at.
 *
 * Who stands behind the link itself confirmed the list, whatever became of the parts:
 * nobody, if they are too few.
 * @param {Chain} chain
 * @param {readonly ComponentShown[]} rows
 * @param {Link} shown
 * @returns {Link}
 */
function atAComponent(chain, rows, shown) {
  const blamed = components.blame(chain, rows, shown.number);
  if (blamed === undefined || shown.status === "unchecked") return shown;
  const { next } = blamed.share;
  if (components.listed(chain) !== "proven")
    return { ...shown, by: [], evidence: [], next };
  return { ...shown, by: distinct(chain.behind.get(shown.number) ?? []), next };
}

/**
 * @param {number} number
 * @param {Status} status
 * @param {readonly string[]} by
 * @param {readonly Entry[]} entries
 * @returns {Link}
 */
function link(number, status, by, entries) {
  const evidence = entries.map(({ index, keyid }) => ({ index, keyid }));
  const [missing, claimed] = NEXT.get(number) ?? ["", ""];
  const next = {
    missing,
    claimed,
    unchecked: number === 1 ? claimed : UNCHECKED,
    failed: FAILED,
    proven: "",
  }[status];
  return {
    number,
    name: links.NAMES[number],
    status,
    by: [...new Set(by)],
    evidence,
    next,
  };
}

/**
 * @param {Verdict} outcome
 * @param {readonly Check[]} checks
 * @param {() => string} claimed what is verified, in words
 */
function headline(outcome, checks, claimed) {
  if (outcome === "verified") return claimed();
  const refuted = outcome === "refuted";
  const word = refuted ? "REFUTED" : "COULD NOT CHECK";
  const status = refuted ? "fail" : "unchecked";
  const deciding = checks.filter((check) => check.required && check.status === status);
  const check = deciding.find(({ found }) => found !== NOT_REACHED) ?? deciding[0];
  if (check === undefined) {
    return `${word}: an archived document was genuine then, and says nothing of now`;
  }
  return `${word}: ${check.id}: ${check.found || check.expected}`;
}

/**
 * What is verified, in words.
 * @param {Run} run
 * @param {readonly ComponentShown[]} rows
 * @param {readonly Link[]} shown
 * @param {number} ends
 * @param {string | null} version
 */
function claim(run, rows, shown, ends, version) {
  const provider = providerOf(run.product);
  const name = run.product.slice(provider.length + 1);
  /** @param {number} number */
  const by = (number) => shown[number - 1].by.join(" and ");
  const words = [
    `this is what ${provider} released as ${name} ${version}`,
    `${by(3)} rebuilt it from its source`,
    `${by(4)} reviewed that source`,
    "its components are complete and rebuilt",
    "and reviewed",
    `${by(7)} reviewed who gets the secrets`,
  ].slice(0, Math.max(ends - 1, 1));
  if (
    run.chain !== undefined &&
    ends < shown.length &&
    shown[ends].status !== "failed"
  ) {
    const blamed = components.blame(run.chain, rows, ends + 1);
    if (blamed !== undefined) words.push(`trust ends at ${blamed.words}`);
  }
  const later = shown.slice(ends).some(({ status }) => status === "proven");
  const broken = shown
    .filter(({ status }) => status === "failed")
    .map(({ number }) => number);
  if (broken.length > 0) words.push(`but link ${broken.join(" and ")} failed`);
  else if (later) words.push(`link ${ends + 1} is ${shown[ends].status} in between`);
  else if (words.length === 1) words.push("nobody else has looked");
  if (run.demands.archived) {
    words.push("as of the time asked about, not now");
  } else if (run.recorder.status("document.nonce") !== "pass") {
    words.push("without a nonce of ours: it may have answered somebody else");
  }
  return `VERIFIED TO LINK ${ends} OF ${links.COUNT}: ${words.join("; ")}`;
}

/**
 * @param {Run} run
 * @returns {string[]}
 */
function remarks({ document, recorder, chain, authority }) {
  const said = [...(document?.notes ?? [])];
  if (document !== undefined && recorder.status("channel") !== "pass") {
    said.push(
      "the channel is not bound: an enclave like this one answered, perhaps not the one at" +
        " the other end of your connection",
    );
  }
  if (chain === undefined) return said;
  said.push(...unlistedNumbers(document, chain));
  for (const { index, keyid, predicate } of chain.releases.subject.entries()) {
    if (authority?.addedByRegistrar(keyid)) {
      said.push(
        `entry ${index} is signed by a key of ${predicate.issuer} that the registrar alone` +
          " added",
      );
    }
  }
  return [...said, ...foundations(chain)];
}

/**
 * Numbers of the document that the release leaves open.
 * @param {Document | undefined} document
 * @param {Chain} chain
 * @returns {string[]}
 */
function unlistedNumbers(document, { releases }) {
  const release = releases.newestValid?.[1];
  if (document === undefined || release === undefined) return [];
  const open = [...document.numbers]
    .filter(([name]) => !release.numbers?.has(name))
    .map(([name, number]) => `${name} ${number}`);
  if (open.length === 0) return [];
  return [`${open.join(", ")}: the release would match any other, too`];
}

/**
 * Of source reviews that build on earlier ones, when all of it was looked at.
 * @param {Chain} chain
 * @returns {string[]}
 */
function foundations(chain) {
  return (chain.behind.get(4) ?? []).flatMap(([entry, audit]) => {
    const found = chain.audits.foundation(audit);
    const first = found.at(-1);
    if (first === undefined) return [];
    return [
      `the source-review by ${audit.issuer} (entry ${entry.index}) is of what changed since` +
        ` earlier ones, ${found.length} in all; the first is of ${first.performed}`,
    ];
  });
}

/**
 * Link 8: whether who makes the hardware also runs the machines.
 * @param {Run} run
 */
function infrastructure({ policy, platform, rules }) {
  const operated = platform === undefined ? undefined : policy.platforms.get(platform);
  return ground.infrastructure(platform, rules.operator || operated?.operator);
}

/**
 * @param {Opened | undefined} opened
 * @returns {CheckpointShown | null}
 */
function checkpoint(opened) {
  if (opened === undefined) return null;
  const { origin, size, root } = opened.checkpoint;
  const { time } = opened.seal;
  // A number, as in all JSON of the protocol: no log has 2^53 leaves.
  return {
    origin,
    size: Number(size),
    root: encodeHex(root),
    time,
    note: opened.noteText,
  };
}

/** @param {Bytes | null | undefined} data */
function hex(data) {
  return data === null || data === undefined ? null : encodeHex(data);
}
