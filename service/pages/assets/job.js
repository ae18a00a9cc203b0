// One job as it goes on: events say when to look, the page's own part is what is looked at.
import { ask, enableButtons, localTimes, tellTrouble } from "./page.js";

const POLL_MS = 2000;
const LEAST_MS = 700; // between two looks, however many events come

const verbs = document.getElementById("verbs");
const says = document.getElementById("says");
const address = location.pathname;
const id = address.split("/").pop();
let lookedAt = 0;
let planned = 0;
let timer = 0;
let source = null;

const live = () => document.getElementById("live");
const isDone = () => live().dataset.done === "true";

async function look() {
  planned = 0;
  lookedAt = Date.now();
  const answer = await fetch(`${address}/live`, { credentials: "same-origin" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
  if (!fresh || fresh.dataset.seq === live().dataset.seq) return;
  const before = live().querySelector(".badge")?.textContent;
  if (live().contains(document.activeElement) && fresh.dataset.done !== "true") return;
  localTimes(fresh);
  live().replaceWith(fresh);
  const now = fresh.querySelector(".badge")?.textContent;
  if (now !== before) says.textContent = `The job is ${now}.`;
  if (isDone()) end();
}

function lookSoon() {
  if (planned || isDone()) return;
  planned = setTimeout(() => look().catch(() => {}), Math.max(0, lookedAt + LEAST_MS - Date.now()));
}

function end() {
  clearInterval(timer);
  source?.close();
  location.reload(); // with the labels and the figures
}

function poll() {
  if (!timer) timer = setInterval(lookSoon, POLL_MS);
}

function listen() {
  if (!("EventSource" in window)) return poll();
  source = new EventSource(`/v1/jobs/${id}/events`);
  const types = ["job.snapshot", "job.progress", "job.status", "stage.status", "item.failed",
    "item.succeeded", "job.done"];
  for (const type of types) source.addEventListener(type, lookSoon);
  source.addEventListener("open", () => { clearInterval(timer); timer = 0; });
  source.addEventListener("error", poll); // until it is open again
}

verbs?.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-verb]");
  if (!button) return;
  button.disabled = true;
  tellTrouble("");
  try {
    const job = await ask(`/v1/jobs/${id}:${button.dataset.verb}`, { method: "POST" });
    if (job.id !== id) location.assign(`/jobs/${job.id}`);
    else lookSoon();
  } catch (error) {
    tellTrouble(error.message);
    button.disabled = false;
  }
});
if (verbs) enableButtons(verbs);

if (!isDone()) listen();
