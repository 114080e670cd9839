/**
 * `verify`: from a document, a bundle and a policy to a report; nothing else is asked.
 *
 * Online or not makes no difference: online is "fetch the bundle first". The order is
 * that of the checks: the document, the log's checkpoint, the answers that document,
 * product and policy call for, the entries in them, and then what these say of the
 * release.
 */

import { Bundle } from "../bundle.js";
import { formatTime } from "../encoding.js";
import { MalformedError, UsageError } from "../errors.js";
import { Subject, gather } from "../gather.js";
import { PLATFORMS, spell } from "../measurement.js";
import { ANSWERS, Demands, LOG, Recorder } from "./checks.js";
import { checkChannel, checkDocument, effectiveNow } from "./document.js";
import { Evaluation } from "./evaluate.js";
import { Evidence, judgeEntries } from "./evidence.js";
import { Judge } from "./judge.js";
import * as links from "./links.js";
import { checkMemory, openLog } from "./log.js";
import { record } from "./record.js";
import { report } from "./summary.js";

/** @import { Document } from "../attestation.js" */
/** @import { Bytes } from "../encoding.js" */
/** @import { Gathering } from "../gather.js" */
/** @import { Registers } from "../measurement.js" */
/** @import { Policy } from "../policy.js" */
/** @import { Memory } from "./log.js" */
/** @import { Report } from "./report.js" */
/** @import { Run } from "./summary.js" */

/**
 * Check a live (or, with `at`, archived) document against all that a log says.
 * @param {object} asked
 * @param {Bytes} asked.attestation the document, raw or in base64 or hex
 * @param {Bytes} [asked.bundle] the log's answers; absent if there were none to be had
 * @param {Policy} asked.policy the relying party's own demands
 * @param {string} asked.product which product this enclave is meant to be
 * @param {number} asked.now unix seconds, by our clock
 * @param {number} [asked.at] unix seconds that replace `now` for the document and for
 *   what expires
 * @param {Bytes} [asked.nonce] what we sent, and expect in the document
 * @param {ReadonlyMap<string, Bytes>} [asked.binding] what our connection shows of its
 *   other end, by kind
 * @param {Memory} [asked.memory] the checkpoint remembered of this log
 * @param {Bytes} [asked.collateral] what the maker publishes of its machines (intel-sgx),
 *   as a file
 * @returns {Promise<Report>} use `verified()` of it to go on
 * @throws {UsageError} the policy does not name the product
 */
export async function verify(asked) {
  const { policy, at } = asked;
  const run = start(policy, asked.product, { archived: at !== undefined });
  const { recorder, rules } = run;
  const document = await checkDocument(
    asked.attestation,
    policy,
    rules,
    asked,
    recorder,
  );
  if (document !== undefined) {
    run.document = document;
    run.platform = document.platform;
    run.registers = document.registers;
    run.numbers = document.numbers;
    run.demands = demandsOf(document, policy, run.demands);
  }
  const now = effectiveNow(document, policy, asked);
  checkPolicy(run, now);
  await consult(run, asked.bundle, asked.memory, now, at ?? now);
  const releases = run.chain?.releases;
  // A release that is not valid still says how its enclaves name their key.
  const release = releases?.newestValid ?? releases?.matching.at(-1);
  if (document !== undefined && release !== undefined) {
    checkChannel(document, release[1], asked.binding ?? new Map(), recorder);
  }
  return report(run, link1(run));
}

/**
 * What `verify` would say of an enclave with these registers; link 1 is unchecked.
 * @param {object} asked
 * @param {Registers} asked.registers
 * @param {string} asked.platform
 * @param {Bytes} asked.bundle
 * @param {Policy} asked.policy
 * @param {string} asked.product
 * @param {number} asked.now
 * @param {ReadonlyMap<string, number>} [asked.numbers] the enclave's, where they are
 *   known: a release may name any
 * @returns {Promise<Report>}
 * @throws {UsageError} the policy does not name the product, or not on this platform
 */
export async function foresee(asked) {
  const { registers, platform, bundle, policy, product, now, numbers } = asked;
  const run = start(policy, product, { archived: false });
  if (!PLATFORMS.has(platform) || !run.rules.platforms.includes(platform)) {
    const expected = run.rules.platforms.join(", ");
    throw new UsageError(`${product}: expected ${expected}, found ${platform}`);
  }
  checkPolicy(run, now);
  run.platform = platform;
  run.registers = registers;
  run.numbers = numbers;
  await consult(run, bundle, undefined, now, now);
  return report(run, link1(run));
}

/**
 * @param {Policy} policy
 * @param {string} product
 * @param {{ archived: boolean }} options
 * @returns {Run}
 */
function start(policy, product, { archived }) {
  const rules = policy.product(product);
  const logs = [...policy.logs.values()];
  const platforms = rules.platforms.map((name) => policy.platforms.get(name));
  const own = rules.platforms.flatMap((name) => PLATFORMS.get(name)?.checks ?? []);
  const demands = new Demands({
    platformsOwn: [...new Set(own)],
    nonce: platforms.some((platform) => platform?.nonceRequired),
    channel: rules.channel === "required",
    witnesses: logs.some((log) => log.witnesses !== undefined),
    indexMonitors: logs.some((log) => log.indexMonitors !== undefined),
    links: rules.links,
    components: rules.components === "refuse",
    archived,
    archives: policy.archives,
  });
  return { policy, product, rules, demands, recorder: new Recorder() };
}

/**
 * What is demanded, now that it is known of which platform the document is.
 * @param {Document} document
 * @param {Policy} policy
 * @param {Demands} before
 * @returns {Demands}
 */
function demandsOf({ platform, time }, policy, before) {
  const rules = policy.platforms.get(platform);
  const nonce = rules?.nonceRequired ?? true;
  return before.but({
    nonce,
    // Without a time and without a nonce it may be of any age, which a policy that
    // demands no nonce of such a platform puts up with.
    time: nonce || time !== null,
    collateral: rules?.collateralRequired ?? true,
    platformsOwn: PLATFORMS.get(platform)?.checks ?? [],
  });
}

/**
 * @param {Run} run
 * @param {number} now
 */
function checkPolicy({ policy, recorder }, now) {
  const expected = `valid until ${formatTime(policy.validUntil)}`;
  if (now < policy.validUntil) {
    recorder.note("policy.valid", "pass", expected, "valid");
  } else {
    const found = "the policy has run out: get a newer one";
    recorder.note("policy.valid", "unchecked", expected, found);
  }
}

/**
 * All that the log has to say: from `log.signature` to `policy.distrust`.
 * @param {Run} run
 * @param {Bytes | undefined} data
 * @param {Memory | undefined} memory
 * @param {number} now
 * @param {number} at
 */
async function consult(run, data, memory, now, at) {
  const { policy, recorder, rules } = run;
  const bundle = await read(data, recorder);
  if (bundle === undefined) return;
  const opened = await openLog(bundle, policy, recorder, now);
  if (opened === undefined) return;
  run.opened = opened;
  run.demands = run.demands.but({
    witnesses: opened.log.witnesses !== undefined,
    indexMonitors: opened.log.indexMonitors !== undefined,
  });
  await checkMemory(opened, memory, recorder);
  const { registers, platform } = run;
  if (registers === undefined || platform === undefined) return;
  const evidence = new Evidence(bundle, opened, recorder);
  const gathering = await collect(run, evidence, registers, platform);
  const { complete } = evidence;
  const entries = gathering.entries();
  const judged = await judgeEntries(entries, opened, recorder, { complete });
  run.authority = judged.authority;
  const nothing = new Set([...judged.refused, ...gathering.repeats()]);
  for (const subject of gathering.subjects) subject.drop(nothing);
  const logChecks = LOG.filter((name) => run.demands.require(name, "unchecked"));
  const forked = recorder.status("log.memory") === "fail";
  const incomplete = forked || !recorder.all([...logChecks, ...ANSWERS]);
  const judge = new Judge(judged.authority, policy, now, at);
  const evaluation = new Evaluation(judge, rules, { incomplete });
  const [subject] = gathering.subjects;
  const chain = await evaluation.chain(subject, rules, registers, run.numbers);
  record(chain, recorder, { incomplete });
  if (recorder.any(["release.version", "policy.distrust"], "fail")) {
    chain.status.set(2, "failed");
  }
  run.chain = chain;
}

/**
 * @param {Bytes | undefined} data
 * @param {Recorder} recorder
 * @returns {Promise<Bundle | undefined>}
 */
async function read(data, recorder) {
  const expected = "a bundle of the log (pcrlog-bundle/v1)";
  if (data === undefined) {
    recorder.note("log.signature", "unchecked", expected, "no bundle");
    return undefined;
  }
  try {
    return await Bundle.parse(data);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    recorder.note("log.signature", "fail", expected, error.message);
    return undefined;
  }
}

/**
 * @param {Run} run
 * @param {Evidence} evidence
 * @param {Registers} registers
 * @param {string} platform
 * @returns {Promise<Gathering>}
 */
async function collect(
  { policy, product, recorder, rules },
  evidence,
  registers,
  platform,
) {
  const names = rules.auditors.map((auditor) => auditor.name);
  const identity = PLATFORMS.get(platform)?.identity ?? [];
  const subject = new Subject(product, platform, spell(identity, registers), names);
  const gathering = await gather(
    subject,
    (key) => evidence.ask(key),
    (key) => evidence.askIfThere(key),
    (part) =>
      policy.findProduct(part)?.auditors.map((auditor) => auditor.name) ?? names,
  );
  evidence.conclude();
  if (!gathering.subjects.every((one) => one.complete)) {
    const found = "components or basis chains too many, too deep, or in a circle";
    recorder.note("answers.present", "unchecked", "a bounded walk", found);
  }
  return gathering;
}

/**
 * @param {Run} run
 * @returns {links.Status}
 */
function link1({ recorder, demands }) {
  const checks = [...demands.link1, "channel"].filter((name) =>
    demands.require(name, recorder.status(name)),
  );
  const archived = demands.archived && !demands.archives;
  return links.attestation({
    failed: recorder.any(checks, "fail"),
    incomplete: archived || !recorder.all(checks),
  });
}
