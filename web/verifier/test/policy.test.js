/** Policies: the example of the protocol as it is read, and what the vectors cannot ask. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { encodeBase64, encodeJson, encodeText, joinBytes } from "../encoding.js";
import { MalformedError, UncheckedError, UsageError } from "../errors.js";
import { PAYLOAD_TYPE, follow } from "../policy-update.js";
import { Policy, parseDuration } from "../policy.js";
import { compareVersions, semver } from "../semver.js";

/** The example of docs/protocol.md 4.6. */
const EXAMPLE = (() => {
  const file = new URL("../../../docs/protocol.md", import.meta.url);
  const [, toml = ""] =
    /```toml\n(format = [^]*?)```/.exec(readFileSync(file, "utf8")) ?? [];
  return toml;
})();

/** @param {string} toml */
const parse = (toml) => Policy.parse(encodeText(toml));

test("the example of the protocol reads as it says", async () => {
  const policy = await parse(EXAMPLE);
  assert.equal(policy.version, 7);
  assert.equal(policy.validUntil, Date.UTC(2027, 10, 23) / 1000);
  assert.equal(policy.clockSkew, 300);
  assert.equal(policy.clockAttested, false);
  assert.equal(policy.archives, false);
  const log = policy.logs.get("log.example/pcr");
  assert.equal(log?.witnesses?.least, 2);
  assert.equal(log.witnesses.keys.length, 3);
  assert.equal(log.indexMonitors?.least, 1);
  assert.equal(log.maxAge, 86_400);
  assert.equal(log.frozenUntil, undefined);
  assert.deepEqual(policy.platforms.get("aws-nitro"), {
    roots: ["builtin"],
    maxAge: 300,
    nonceRequired: true,
    operator: "aws",
    tcb: ["UpToDate"],
    advisories: [],
    collateralRequired: true,
    pccs: undefined,
  });
  const product = policy.product("acme.example/wallet");
  assert.deepEqual(product.links, [1, 2, 3]);
  assert.equal(product.channel, "required");
  assert.equal(product.components, "refuse");
  assert.equal(product.ground, "any");
  assert.equal(product.counts.of("controls-review"), 1);
  assert.throws(() => product.counts.of("other"), TypeError);
  assert.deepEqual(
    product.openFindings,
    new Map([
      ["critical", 0],
      ["high", 0],
    ]),
  );
  assert.equal(product.pins.get("acme.example")?.length, 1);
  assert.throws(() => policy.product("acme.example/other"), UsageError);
  assert.equal(policy.findProduct("acme.example/other"), undefined);
});

test("a mistake is told with its place", async () => {
  await assert.rejects(
    parse(EXAMPLE.replace("links = ", "link = ")),
    /unknown member "link"/,
  );
  await assert.rejects(parse(EXAMPLE.replace("[1, 2, 3]", "[1, 2, 8]")), /links\[2\]/);
  await assert.rejects(
    parse(EXAMPLE.replace("max_age", "max_age =")),
    /TOML, line \d+/,
  );
  await assert.rejects(
    parse(EXAMPLE.replace('"24h"', '"24"')),
    /expected a duration such as 300s, 5m, 24h or 7d, found "24"/,
  );
});

test("a policy cannot be changed by who handed it in", async () => {
  const given = encodeText(EXAMPLE);
  const expected = (await Policy.parse(given.slice())).sha256;
  const parsed = Policy.parse(given);
  given.fill(0x20);
  assert.equal((await parsed).sha256, expected);
});

test("a policy in a Buffer cannot be changed either", async () => {
  const expected = (await parse(EXAMPLE)).sha256;
  const given = Buffer.from(EXAMPLE);
  const parsed = Policy.parse(given);
  given.fill(0x20);
  assert.equal((await parsed).sha256, expected);
});

test("a time that is no number has run out for who follows a policy", async () => {
  const pair = /** @type {CryptoKeyPair} */ (
    await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])
  );
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const keys = `keys = ["${encodeBase64(spki)}"]`;
  const current = encodeText(`${EXAMPLE}\n[successor]\nquorum = 1\n${keys}\n`);
  // An update that holds the policy itself: there is none after it.
  const update = encodeJson({
    payload: encodeBase64(current),
    payloadType: PAYLOAD_TYPE,
    signatures: [{ keyid: "0".repeat(64), sig: "" }],
  });
  const updates = joinBytes(update, encodeText("\n"));
  const { validUntil } = await Policy.parse(current);
  const { data, steps } = await follow(current, updates, validUntil - 1);
  assert.deepEqual([data, steps], [current, 0]);
  for (const now of [validUntil, NaN, Infinity, /** @type {never} */ (undefined)]) {
    await assert.rejects(follow(current, updates, now), UncheckedError);
  }
});

test("slashes at a URL's end go, and many of them cost no more than others", async () => {
  const url = "https://log.example/pcr";
  /** @param {string} end */
  const urlOf = async (end) => {
    const policy = await parse(EXAMPLE.replace(`"${url}"`, `"${url}${end}"`));
    return policy.logs.get("log.example/pcr")?.url;
  };
  assert.equal(await urlOf("//"), url);
  const row = `${"/".repeat(200_000)}x`;
  const start = performance.now();
  assert.equal(await urlOf(row), url + row);
  assert.ok(performance.now() - start < 2_000);
});

test("names of this language's own objects are unknown members like others", async () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
    await assert.rejects(parse(`${name} = 1\n${EXAMPLE}`), /unknown member/, name);
    await assert.rejects(parse(`${EXAMPLE}\n[products."${name}"]`), UsageError, name);
  }
});

test("durations are a decimal and a unit", () => {
  assert.equal(parseDuration("0s"), 0);
  assert.equal(parseDuration("999999d"), 999_999 * 86_400);
  for (const text of ["", "s", "1", "01s", "1 s", "1S", "1000000s", "1s\n", "-1s"]) {
    assert.throws(() => parseDuration(text), MalformedError, text);
  }
});

test("versions sort as SemVer says", () => {
  const ascending = [
    "0.0.0-0",
    "0.0.0",
    "0.9.0",
    "0.10.0",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0--",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "999999999999999999.0.0",
  ].map(semver);
  for (const [at, one] of ascending.entries()) {
    for (const [place, other] of ascending.entries()) {
      assert.equal(Math.sign(compareVersions(one, other)), Math.sign(at - place));
    }
  }
  for (const text of [
    "1.0",
    "1.0.0+b",
    "1.0.0-01",
    "01.0.0",
    "1.0.0-",
    "1.0.0-a..b",
    "1.0.0\n",
  ]) {
    assert.throws(() => semver(text), MalformedError, text);
  }
  assert.throws(() => semver(`1.0.${"9".repeat(19)}`), MalformedError);
});
