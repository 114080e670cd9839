/**
 * The checks of the release, `release.match` to `policy.distrust`, as recorded.
 *
 * Evidence against always fails its check. That something is lacking (a release, a
 * pass), or that nothing speaks against it, can only be said when all answers are
 * there; else the check is unchecked.
 */

import { MalformedError } from "../errors.js";
import { distinct } from "./audits.js";
import * as components from "./components.js";
import { SCOPE_OF_LINK, statusOf } from "./evaluate.js";

/** @import { CheckStatus, Recorder } from "./checks.js" */
/** @import { Chain } from "./evaluate.js" */
/** @import { Releases } from "./releases.js" */

/** What passes only if nothing speaks against it: not while an answer is missing. */
const NEED_ALL = [
  "release.valid",
  "release.conflict",
  "release.version",
  "audits.quorum",
  "audits.fails",
  "components",
  "controls",
];

/**
 * Record the checks from `release.match` to `policy.distrust`.
 * @param {Chain} chain
 * @param {Recorder} recorder
 * @param {{ incomplete: boolean }} options
 */
export function record(chain, recorder, { incomplete }) {
  const lacking = incomplete ? "unchecked" : "fail";
  recordRelease(chain.releases, recorder, lacking);
  recordVersion(chain.releases, recorder);
  recordAudits(chain, recorder, lacking);
  recordPlatform(chain, recorder);
  recordDistrust(chain.releases, recorder);
  for (const check of incomplete ? NEED_ALL : []) {
    const expected = "all that was said, of a fresh checkpoint";
    recorder.note(check, "unchecked", expected, "answers that are not complete");
  }
}

/**
 * @param {Releases} releases
 * @param {Recorder} recorder
 * @param {CheckStatus} lacking
 */
function recordRelease(releases, recorder, lacking) {
  const { subject, newestValid, conflicts } = releases;
  const newest = releases.matching.at(-1);
  const whose = `a release by ${subject.provider} of ${subject.product}, all registers`;
  if (newest === undefined) {
    const found =
      subject.releases.length > 0
        ? "releases with this identity, but other registers differ"
        : "none: nobody who may say so says what this is";
    recorder.note("release.match", lacking, whose, found);
    return;
  }
  const [entry, release] = newest;
  const named = `${release.product} ${release.version}`;
  recorder.note("release.match", "pass", whose, `entry ${entry.index}: ${named}`);
  const standing = "one that is not void, expired or revoked";
  if (newestValid === undefined) {
    const reason = releases.against(entry, release);
    const found = `${named} (entry ${entry.index}) ${reason}`;
    recorder.note("release.valid", "fail", standing, found);
  } else {
    const { product, version } = newestValid[1];
    const found = `entry ${newestValid[0].index}: ${product} ${version}`;
    recorder.note("release.valid", "pass", standing, found);
  }
  const alone = "no other release of the same version with other registers";
  const [conflict] = conflicts;
  if (conflict === undefined) {
    recorder.note("release.conflict", "pass", alone, "none stands");
  } else {
    const { entry: one, rival } = conflict;
    const found = `entries ${one.index} and ${rival.index} give one version two builds`;
    recorder.note("release.conflict", "fail", alone, found);
  }
}

/**
 * @param {Releases} releases
 * @param {Recorder} recorder
 */
function recordVersion(releases, recorder) {
  const check = "release.version";
  const wanted = releases.rules.lowestVersion;
  if (wanted === undefined) {
    recorder.note(check, "pass", "nothing: the policy sets no lowest version", "");
    return;
  }
  const expected = `first released as version ${wanted} or later`;
  if (releases.matching.length === 0) {
    recorder.note(check, "unchecked", expected, "no release");
    return;
  }
  recorder.note(
    check,
    releases.belowLowest ? "fail" : "pass",
    expected,
    counted(releases),
  );
}

/** @param {Releases} releases */
function counted(releases) {
  try {
    const lowest = releases.lowestVersion();
    return `this measurement counts as ${lowest}, the lowest it was released under`;
  } catch (error) {
    if (error instanceof MalformedError) return error.message;
    throw error;
  }
}

/**
 * @param {Chain} chain
 * @param {Recorder} recorder
 * @param {CheckStatus} lacking
 */
function recordAudits(chain, recorder, lacking) {
  const { rules } = chain.releases;
  const wanted = [...SCOPE_OF_LINK]
    .filter(([number]) => rules.links.includes(number))
    .map(([number, scope]) => {
      const have = distinct(chain.behind.get(number) ?? []).length;
      return { scope, have, want: rules.counts.of(scope) };
    });
  const lacks = wanted.some(({ have, want }) => have < want);
  const expected = "the passes that the policy's links demand";
  const found = wanted.map(({ scope, have, want }) => `${scope} ${have} of ${want}`);
  const quorum = found.join(", ") || "none demanded";
  recorder.note("audits.quorum", lacks ? lacking : "pass", expected, quorum);
  const nobody = "no fail of a counted auditor";
  for (const [scope, [entry]] of chain.audits.fails) {
    const told = `${entry.predicate.issuer} failed it in a ${scope} (entry ${entry.index})`;
    recorder.note("audits.fails", "fail", nobody, told);
  }
  recorder.note("audits.fails", "pass", nobody, "none stands");
}

/**
 * @param {Chain} chain
 * @param {Recorder} recorder
 */
function recordPlatform(chain, recorder) {
  const { rules } = chain.releases;
  for (const [check, numbers] of /** @type {const} */ ([
    ["components", [5, 6]],
    ["controls", [7]],
  ])) {
    const demanded = numbers.filter((number) => rules.links.includes(number));
    const statuses = demanded.map((number) => statusOf(chain, number));
    /** @type {CheckStatus} */
    let status = "fail";
    if (numbers.every((number) => statusOf(chain, number) !== "failed")) {
      if (statuses.every((one) => one === "proven")) status = "pass";
      else if (statuses.includes("unchecked")) status = "unchecked";
    }
    const expected =
      demanded.length > 0 ? `links [${demanded.join(", ")}] proven` : "none failed";
    recorder.note(check, status, expected, at(chain, numbers).join(", "));
  }
}

/**
 * What each link came to, and the component that it ends at, if it is one.
 * @param {Chain} chain
 * @param {readonly number[]} numbers
 */
function at(chain, numbers) {
  const rows = numbers.length > 1 ? components.shown(chain) : [];
  return numbers.map((number) => {
    const blamed = components.blame(chain, rows, number);
    const who = blamed === undefined ? "" : ` (${blamed.words})`;
    return `link ${number} ${statusOf(chain, number)}${who}`;
  });
}

/**
 * @param {Releases} releases
 * @param {Recorder} recorder
 */
function recordDistrust({ judge, subject, matching, newestValid }, recorder) {
  const { distrust } = judge.policy;
  const named = subject.measurements
    .map((measurement) => `${subject.platform}/${measurement}`)
    .filter((one) => distrust.measurements.includes(one))
    .sort();
  const newest = matching.at(-1)?.[0];
  if (
    newest !== undefined &&
    newestValid === undefined &&
    (distrust.statements.includes(newest.sha256) ||
      distrust.keys.includes(newest.keyid))
  ) {
    named.push(`entry ${newest.index}`);
  }
  const expected = "nothing that the policy distrusts";
  const status = named.length > 0 ? "fail" : "pass";
  recorder.note("policy.distrust", status, expected, named.join(", ") || "none");
}
