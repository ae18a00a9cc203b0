// Decisions on labels: by button or key; then the next one of the queue.
import { ask, enableButtons, tellTrouble } from "./page.js";
import { openViewer } from "./viewer.js";

const DONE = { accept: "Accepted", reject: "Rejected", correct: "Corrected" };
const KEYS = { a: "accept", x: "reject" };
const LAST = "selvage last review";

const place = document.getElementById("review");

function remember(decision) {
  try {
    sessionStorage.setItem(LAST, JSON.stringify({ decision, label: place.dataset.label, name: place.dataset.name }));
  } catch { /* only a convenience */ }
}

/** Says what was decided before, with a way back to it: the newest decision counts. */
function tellLast() {
  const told = document.getElementById("before");
  let last = null;
  try { last = JSON.parse(sessionStorage.getItem(LAST)); } catch { /* nothing to tell */ }
  if (!told || !last?.label || !DONE[last.decision]) return;
  const link = document.createElement("a");
  link.href = `/labels/${encodeURIComponent(last.label)}`;
  link.textContent = last.name;
  told.append(`${DONE[last.decision]} just now: `, link);
  told.hidden = false;
}

async function decide(decision, options) {
  for (const button of place.querySelectorAll("button")) button.disabled = true;
  tellTrouble("");
  try {
    await ask(`/v1/labels/${place.dataset.label}:review`, { method: "POST", ...options });
    remember(decision);
    document.getElementById("says").textContent = `${DONE[decision]}.`;
    if (location.pathname === "/review") location.reload();
    else enableButtons(place);
  } catch (error) {
    tellTrouble(error.message);
    enableButtons(place);
  }
}

const sendDecision = (decision) => decide(decision, {
  headers: { "Content-Type": "application/json" }, body: JSON.stringify({ decision }),
});

/** Makes the buttons and keys of decisions work, where the page has them. */
export function wireReview() {
  if (!place) return;
  place.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-decision]");
    if (button) sendDecision(button.dataset.decision);
  });
  document.getElementById("correct").addEventListener("submit", (event) => {
    event.preventDefault();
    const body = new FormData();
    body.append("file", document.getElementById("mask").files[0]);
    decide("correct", { body });
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest?.("input, select, textarea") && event.target.type !== "range") return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (KEYS[event.key]) place.querySelector(`[data-decision="${KEYS[event.key]}"]:enabled`)?.click();
    if (event.key === "s") document.getElementById("skip")?.click();
  });
  enableButtons(place);
}

if (location.pathname === "/review") {
  openViewer();
  tellLast();
  wireReview();
}
