/**
 * The page that verifies: from what was dropped, pasted or fetched to a report.
 *
 * All of it happens here. What leaves the page goes through fetching.js, and is shown.
 */

import { decodeHex, formatTime, parseTime } from "../verifier/encoding.js";
import { PcrlogError, UsageError } from "../verifier/errors.js";
import * as limits from "../verifier/limits.js";
import { verify } from "../verifier/verify.js";
import { bundlePath, openDocument } from "./asking.js";
import { element, named } from "./elements.js";
import { Asker } from "./fetching.js";
import {
  address,
  at,
  dropDocument,
  form,
  given,
  have,
  listenToAll,
  logUrl,
  messageOf,
  newNonce,
  nonce,
  readField,
  takeAny,
  takeDocument,
  wanted,
} from "./inputs.js";
import { describe } from "./itself.js";
import { Store, evidenceOf, goesBack, recall, remember } from "./remembering.js";
import { drawReport } from "./report.js";
import { capital } from "./words.js";

/** @import { Document } from "../verifier/attestation.js" */
/** @import { Bytes } from "../verifier/encoding.js" */
/** @import { Policy } from "../verifier/policy.js" */
/** @import { Report } from "../verifier/verification/report.js" */
/** @import { Recalled } from "./remembering.js" */

const store = new Store();
const asker = new Asker();
const progress = named("progress", HTMLElement);
const place = named("report", HTMLElement);
/** Which run may show its report. */
let current = {};

function now() {
  return Math.floor(Date.now() / 1000);
}

async function fetchDocument() {
  const text = address.value.trim();
  if (!URL.canParse(text)) throw new UsageError("give the whole URL of the document");
  const url = new URL(text);
  dropDocument();
  url.searchParams.append("nonce", newNonce());
  url.hash = "";
  takeDocument(url.host, await asker.get(url.href, 3 * limits.ATTESTATION));
}

async function check() {
  const run = (current = {});
  const { data, policy, name } = wanted();
  const [then, sent] = [readField(at, parseTime), readField(nonce, decodeHex)];
  const asked = {
    now: now(),
    ...(then !== undefined && { at: then }),
    ...(sent && { nonce: sent }),
    ...(given.collateral && { collateral: given.collateral }),
  };
  const opened = await openDocument(data, policy, name, asked);
  const { bundle, trouble } = await answersFor(opened, policy, name);
  const recalled = await recall(
    store,
    policy,
    bundle,
    have.checked ? undefined : asker,
  );
  const report = await verify({
    document: data,
    policy,
    product: name,
    ...asked,
    ...(bundle && { bundle }),
    ...(recalled?.memory && { memory: recalled.memory }),
  });
  const memory = memoryWords(recalled, report);
  const evidence = await evidenceOf(recalled, report);
  // Whoever has changed something meanwhile is not shown the answer to what was before.
  if (run !== current) return;
  show(
    drawReport(report, {
      now: asked.now,
      opened: opened !== undefined,
      signed: opened?.time ?? undefined,
      asked: [...asker.asked],
      refusal: trouble || refusalOf(recalled),
      memory,
      ...(evidence && { evidence }),
    }),
  );
}

/** What was found is about what was given: it goes when that is changed. */
function clear() {
  current = {};
  place.hidden = true;
  place.replaceChildren();
}

/** @param {readonly HTMLElement[]} parts */
function show(parts) {
  place.replaceChildren(...parts);
  place.hidden = false;
  place.focus({ preventScroll: true });
  place.scrollIntoView();
}

/**
 * The bundle that was given, or the log's own; in words why there is none.
 * @param {Document | undefined} opened nothing is asked about what is not genuine
 * @param {Policy} policy
 * @param {string} name
 * @returns {Promise<{ bundle?: Bytes, trouble: string }>}
 */
async function answersFor(opened, policy, name) {
  if (have.checked) {
    if (given.bundle !== undefined) return { bundle: given.bundle, trouble: "" };
    throw new UsageError("give a bundle (step 3), or let the log be asked");
  }
  if (opened === undefined) return { trouble: "" };
  try {
    const url = `${logUrl.value}/${bundlePath(opened, policy, name)}`;
    return { bundle: await asker.get(url, limits.BUNDLE), trouble: "" };
  } catch (error) {
    return { trouble: capital(messageOf(error)) };
  }
}

/** @param {Recalled | undefined} recalled */
function refusalOf(recalled) {
  if (!goesBack(recalled)) return "";
  const { old, seen } = recalled;
  return (
    `This answer is of ${seen.size} entries, and this browser has seen ${old.size} of the` +
    " same log: it goes back, and hides what was said since. Ask the log again"
  );
}

/**
 * What became of the checkpoint, in words; it is kept, where it may be.
 * @param {Recalled | undefined} recalled
 * @param {Report} report
 */
function memoryWords(recalled, report) {
  const kept = remember(store, recalled, report);
  if (!store.works) return "It remembers nothing: this browser does not let it.";
  if (recalled === undefined) return "It saw no checkpoint of a log of your policy.";
  if (kept) {
    return `It remembers the checkpoint of ${recalled.seen.size} entries for your next visit.`;
  }
  if (recalled.old === undefined) {
    return report.archived
      ? "It remembers nothing of a run about the past."
      : "It did not remember the checkpoint: not all checks of the log passed, or another" +
          " tab remembered one meanwhile.";
  }
  return `It goes on remembering the checkpoint of ${recalled.old.size} entries.`;
}

/**
 * Do something that takes a while, and say what went wrong.
 * @param {string} words
 * @param {() => Promise<void>} work
 */
async function busy(words, work) {
  clear();
  progress.replaceChildren(words);
  form.setAttribute("aria-busy", "true");
  try {
    await work();
    progress.replaceChildren();
  } catch (error) {
    const wrong = element("span", { class: "wrong" }, capital(String(error)));
    if (error instanceof PcrlogError) wrong.textContent = `${capital(error.message)}.`;
    progress.replaceChildren(wrong);
  } finally {
    form.removeAttribute("aria-busy");
  }
}

function start() {
  if (globalThis.crypto?.subtle === undefined) {
    const warning = named("insecure", HTMLElement);
    warning.textContent =
      "This page came over plain HTTP, where browsers have no cryptography to offer." +
      " Save it and open it from disk, or ask for it over HTTPS.";
    warning.hidden = false;
    return;
  }
  listenToAll();
  named("document-fetch", HTMLButtonElement).addEventListener("click", () =>
    busy("Asking the enclave…", fetchDocument),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void busy("Checking…", check);
  });
  for (const type of ["input", "change"]) form.addEventListener(type, clear);
  for (const type of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      event.preventDefault();
      form.classList.toggle("over", type === "dragenter" || type === "dragover");
    });
  }
  document.addEventListener("drop", (event) =>
    busy("Reading…", () => takeAny(event.dataTransfer?.files ?? [])),
  );
  const clock = named("clock", HTMLElement);
  const tick = () => {
    clock.textContent = formatTime(now());
  };
  tick();
  setInterval(tick, 1000);
}

start();
void describe(asker, store.works);
