/** What vectors do not ask of a verification: its bounds, its entry, its report. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import {
  copyBytes,
  decodeBase64,
  decodeJson,
  decodeText,
  encodeJson,
  encodeText,
} from "../encoding.js";
import { integer, list, object } from "../shapes.js";
import { Accepted, Standing } from "../standing.js";
import { CHECKS, Demands, Recorder, verdict } from "../verification/checks.js";
import {
  LINKS,
  Policy,
  UncheckedError,
  UsageError,
  VerificationError,
  foresee,
  verify,
} from "../verify.js";

/** @import { Bytes } from "../encoding.js" */
/** @import { Entry } from "../entry.js" */
/** @import { Identity } from "../predicates.js" */

const VECTORS = new URL("../../../tests/vectors/", import.meta.url);

/**
 * The arguments of `verify` in a case of the vectors.
 * @param {string} family
 * @param {string} id
 */
async function asked(family, id) {
  const file = JSON.parse(await readFile(new URL(`${family}.json`, VECTORS), "utf8"));
  /** @type {{ id: string, ask: Record<string, string> }[]} */
  const cases = file.cases;
  const found = cases.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no case ${family}/${id}`);
  /** @param {string} name */
  const bytes = (name) => {
    const value = found.ask[name];
    return decodeBase64(value.startsWith("@") ? file.blobs[value.slice(1)] : value);
  };
  return {
    document: bytes("attestation"),
    bundle: bytes("bundle"),
    policy: bytes("policy"),
    product: found.ask.product,
    now: Number(found.ask.now),
    nonce: bytes("nonce"),
    collateral: found.ask.collateral === undefined ? undefined : bytes("collateral"),
  };
}

const GOOD = await asked("log", "aged-24-h");
const QUOTE = await asked("sgx-runs", "live");
const COUNTED = await asked("sgx-runs", "released-with-both-numbers");
const STALE = await asked("log", "aged-24-h-and-1-s");

/** @type {ConstructorParameters<typeof Demands>[0]} */
const LEAST = {
  nonce: false,
  channel: false,
  witnesses: false,
  indexMonitors: false,
  links: [],
  components: false,
  archived: false,
  archives: false,
};

// --- the verdict --------------------------------------------------------------------

test("a check that nobody recorded never verifies", () => {
  const demands = new Demands(LEAST);
  for (const forgotten of CHECKS) {
    const recorder = new Recorder();
    for (const check of CHECKS) {
      if (check !== forgotten) recorder.note(check, "pass", "", "");
    }
    const checks = recorder.checks(demands);
    const required = demands.require(forgotten, "unchecked");
    assert.equal(verdict(checks, demands), required ? "unchecked" : "verified");
  }
  const none = new Recorder().checks(demands);
  assert.equal(verdict(none, demands), "unchecked");
});

test("the worst of several outcomes of a check stays", () => {
  const recorder = new Recorder();
  recorder.note("channel", "unchecked", "", "first");
  recorder.note("channel", "pass", "", "second");
  assert.equal(recorder.status("channel"), "unchecked");
  recorder.note("channel", "fail", "", "third");
  recorder.note("channel", "fail", "", "fourth");
  const shown = recorder.checks(new Demands(LEAST)).find(({ id }) => id === "channel");
  assert.equal(shown?.found, "third");
});

// --- the report ---------------------------------------------------------------------

test("a verified report gives what the enclave said", async () => {
  const report = await verify(GOOD);
  const enclave = report.verified();
  assert.equal(enclave.product, "acme.example/wallet");
  assert.equal(enclave.version, "1.4.2");
  assert.deepEqual(Object.keys(enclave.registers), ["PCR0", "PCR1", "PCR2"]);
  assert.match(report.headline, /^VERIFIED TO LINK 2 OF 7: /);
});

test("a report that is not verified gives nothing", async () => {
  const stale = await verify(STALE);
  assert.throws(() => stale.verified(), UncheckedError);
  const refuted = await verify({ ...GOOD, nonce: encodeText("another") });
  assert.throws(() => refuted.verified(), VerificationError);
});

test("nobody can change a report", async () => {
  const report = await verify({ ...GOOD, nonce: encodeText("another") });
  assert.throws(() => Object.assign(report, { verdict: "verified" }), TypeError);
  assert.throws(() => Object.assign(report.checks[0], { status: "pass" }), TypeError);
  assert.throws(() => Object.assign(CHECKS, [""]), TypeError);
  assert.throws(() => Object.assign(LINKS, { 2: "" }), TypeError);
  assert.equal(report.verdict, "refuted");
});

test("a report is canonical JSON of its members", async () => {
  const json = decodeText((await verify(GOOD)).toJson());
  const members = JSON.parse(json);
  assert.equal(members.format, "pcrlog-report/v1");
  assert.deepEqual(
    members.checks.map((/** @type {{ id: string }} */ check) => check.id),
    CHECKS,
  );
  assert.deepEqual(Object.keys(members), Object.keys(members).sort());
});

// --- the entry ----------------------------------------------------------------------

test("what is no argument, or not of its type, is refused at once", async () => {
  const text = "text";
  const gone = copyBytes(GOOD.nonce);
  structuredClone(gone.buffer, { transfer: [gone.buffer] });
  /** @type {object[]} */
  const mistakes = [
    { nonse: GOOD.nonce },
    { binding: {} },
    { now: GOOD.now * 1000 },
    { now: NaN },
    { now: -1 },
    { at: 0.5 },
    { nonce: text },
    { document: text },
    { bundle: text },
    { bundle: null },
    { policy: text },
    { product: undefined },
    { channel: { "tls-spki": GOOD.nonce } },
    { channel: { "raw-key": text } },
    { channel: null },
    { channel: new Map([["raw-key", GOOD.nonce]]) },
    { channel: [] },
    { memory: null },
    { nonce: gone },
    { collateral: text },
    { collateral: null },
    { memory: { note: text } },
    { memory: { note: GOOD.nonce, proof: text } },
    { memory: { note: GOOD.nonce, frozen: text } },
    { product: "acme.example/unknown" },
  ];
  for (const wrong of mistakes) {
    await assert.rejects(
      verify({ ...GOOD, ...wrong }),
      UsageError,
      JSON.stringify(wrong),
    );
  }
});

test("a policy may be read before", async () => {
  const policy = await Policy.parse(GOOD.policy);
  assert.equal((await verify({ ...GOOD, policy })).verdict, "verified");
});

test("a quote is verified with collateral, and shows the checks of its platform", async () => {
  const report = await verify(QUOTE);
  assert.equal(report.verdict, "verified");
  const own = report.checks.slice(4, 9).map(({ id }) => id);
  assert.deepEqual(own, [
    "document.qe-report",
    "document.collateral",
    "document.revocation",
    "document.qe-identity",
    "document.tcb",
  ]);
  assert.equal(report.checks.length, CHECKS.length + own.length);
  const { collateral, ...without } = QUOTE;
  assert.equal((await verify(without)).verdict, "unchecked");
  assert.ok(collateral);
  const given = collateral.slice();
  const verifying = verify({ ...QUOTE, collateral: given });
  given.fill(0);
  assert.equal((await verifying).verdict, "verified");
});

test("numbers that are foreseen match a release, or do not", async () => {
  const report = await verify(COUNTED);
  const registers = new Map(Object.entries(report.registers.matched));
  const { bundle, policy, product, now } = COUNTED;
  const asks = { registers, platform: "intel-sgx", bundle, policy, product, now };
  /** @param {Map<string, number>} [numbers] */
  const link2 = async (numbers) =>
    (await foresee({ ...asks, numbers })).links[1].status;
  assert.equal(report.links[1].status, "proven");
  assert.equal(await link2(), "proven");
  const its = /** @type {const} */ ([
    ["ISVPRODID", 1],
    ["ISVSVN", 515],
  ]);
  assert.equal(await link2(new Map(its)), "proven");
  assert.equal(await link2(new Map([...its, ["ISVSVN", 516]])), "missing");
  assert.equal(await link2(new Map(its.slice(1))), "missing");
  assert.equal(await link2(new Map()), "missing");
});

test("without a bundle nothing is verified", async () => {
  const { bundle, ...rest } = GOOD;
  const report = await verify(rest);
  assert.equal(report.verdict, "unchecked");
  assert.equal(report.checkpoint, null);
  assert.ok(bundle.length > 0);
});

test("what is foreseen is what verification says, but for link 1", async () => {
  const report = await verify(GOOD);
  const registers = new Map(Object.entries(report.registers.matched));
  const policy = await Policy.parse(GOOD.policy);
  const { bundle, product, now } = GOOD;
  const asks = { registers, platform: "aws-nitro", bundle, policy, product, now };
  const foreseen = await foresee(asks);
  assert.equal(foreseen.verdict, "unchecked");
  assert.equal(foreseen.links[0].status, "unchecked");
  assert.deepEqual(foreseen.links.slice(1), report.links.slice(1));
  /** @type {object[]} */
  const mistakes = [
    { platform: "artifact" },
    { platform: undefined },
    { product: undefined },
    { now: undefined },
    { now: now * 1000 },
    { bundle: undefined },
    { bundle: "text" },
    { policy: "text" },
    { registers: { PCR0: "text" } },
    { numbers: { ISVSVN: 1 } },
    { at: now },
  ];
  for (const wrong of mistakes) {
    await assert.rejects(
      foresee({ ...asks, ...wrong }),
      UsageError,
      JSON.stringify(wrong),
    );
  }
});

test("what is checked is what was handed in, whoever changes it meanwhile", async () => {
  const policy = await Policy.parse(GOOD.policy);
  const nonce = encodeText("another-nonce-of-ours!");
  const document = Buffer.from(GOOD.document);
  const place = document.indexOf(GOOD.nonce);
  assert.ok(place > 0 && nonce.length === GOOD.nonce.length);
  // Read with our nonce in it, and then, before the signature is looked at, as signed.
  document.set(nonce, place);
  const running = verify({ ...GOOD, policy, document, nonce });
  document.set(GOOD.document);
  assert.equal((await running).verdict, "refuted");

  const { now, product } = GOOD;
  const given = {
    document: copyBytes(GOOD.document),
    bundle: copyBytes(GOOD.bundle),
    nonce: copyBytes(GOOD.nonce),
  };
  const honest = verify({ policy, product, now, ...given });
  for (const bytes of Object.values(given)) bytes.fill(0);
  assert.equal((await honest).verdict, "verified");
});

test("bytes in memory that is shared or can grow are bytes like others", async () => {
  const { now, product } = GOOD;
  // TypeScript's idea of `Bytes` leaves them out; who has no types may hand them in.
  /** @param {Bytes} data */
  const shared = (data) => {
    const copy = new Uint8Array(new SharedArrayBuffer(data.length));
    copy.set(data);
    return /** @type {never} */ (copy);
  };
  const given = {
    document: shared(GOOD.document),
    bundle: shared(GOOD.bundle),
    policy: shared(GOOD.policy),
    nonce: shared(GOOD.nonce),
  };
  assert.equal((await verify({ product, now, ...given })).verdict, "verified");
});

// --- hostile bytes ------------------------------------------------------------------

/**
 * Each byte of some data, one in `step`, another one.
 * @param {Bytes} data
 * @param {number} step
 */
function* changes(data, step) {
  for (let at = 0; at < data.length; at += step) {
    const changed = data.slice();
    changed[at] ^= 1;
    yield changed;
  }
}

test("no changed byte of a bundle makes another claim", async () => {
  const good = await verify(GOOD);
  let refused = 0;
  for (const bundle of changes(GOOD.bundle, 97)) {
    const report = await verify({ ...GOOD, bundle });
    if (report.verdict !== "verified") refused += 1;
    // A cosignature too many may be lost, an answer that nobody asked for be another.
    else assert.deepEqual(report.links, good.links);
  }
  assert.ok(refused > (GOOD.bundle.length / 97) * 0.9);
});

test("no changed byte of a document verifies", async () => {
  for (const document of changes(GOOD.document, 37)) {
    const report = await verify({ ...GOOD, document });
    assert.notEqual(report.verdict, "verified");
  }
});

test("what is no bundle is no exception", async () => {
  const deep = encodeText("[".repeat(100_000));
  const prototype = encodeText('{"__proto__":{"format":"pcrlog-bundle/v1"}}');
  for (const bundle of [new Uint8Array(0), new Uint8Array(2 ** 21), deep, prototype]) {
    const report = await verify({ ...GOOD, bundle });
    assert.equal(report.verdict, "refuted");
  }
});

// --- long histories -----------------------------------------------------------------

test("an answer with very many indices is no exception", async () => {
  const bundle = object(decodeJson(GOOD.bundle, { asciiOnly: false }), "bundle");
  const answers = list(object)(bundle.answers, "answers");
  const answer = answers.find(({ indices }) => list(integer())(indices, "").length > 0);
  assert.ok(answer);
  answer.indices = Array.from({ length: 140_000 }, (_, index) => index);
  const report = await verify({ ...GOOD, bundle: encodeJson(bundle) });
  assert.equal(report.verdict, "refuted");
  const check = report.checks.find(({ id }) => id === "answers.proofs");
  assert.equal(check?.status, "fail");
});

test("a long chain of identities, all of them void, is judged within a second", () => {
  const standing = new Standing();
  const keys = [{ keyid: "aa", key: new Uint8Array(1), status: "active" }];
  const most = 1024;
  for (let index = 0; index < most; index += 1) {
    const last = index === most - 1;
    const status = last ? "compromised" : "active";
    const identity = /** @type {Identity} */ (
      /** @type {unknown} */ ({
        kind: "identity",
        name: "acme.example",
        signers: ["aa"],
        roles: ["provider"],
        keys: keys.map((one) => ({ ...one, status, ...(last ? { since: 0 } : {}) })),
      })
    );
    const entry = /** @type {Entry} */ (/** @type {unknown} */ ({ index, sha256: "" }));
    standing.remember(new Accepted(entry, identity, ["bb"], ["aa"], []));
  }
  const began = performance.now();
  const state = standing.state("acme.example", most);
  assert.equal(state.keys.size, 0);
  assert.ok(performance.now() - began < 1000);
});
