// A campaign that goes on: its events say when the page is out of date.
const place = document.getElementById("progress");
const POLL_MS = 5000;
let planned = 0;

async function look() {
  planned = 0;
  const answer = await fetch(location.pathname, { credentials: "same-origin" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = fresh.getElementById("progress");
  if (!now || now.dataset.seq === place.dataset.seq) {
    const bar = place.querySelector("progress");
    if (now) bar.value = now.querySelector("progress").value;
    return;
  }
  location.reload();
}

function lookSoon() {
  if (!planned) planned = setTimeout(() => look().catch(() => {}), 800);
}

if (place.dataset.done !== "true") {
  setInterval(lookSoon, POLL_MS);
  if ("EventSource" in window) {
    const source = new EventSource(`/v1/campaigns/${place.dataset.campaign}/events`);
    for (const type of ["campaign.status", "round.status", "step.status", "campaign.done"]) {
      source.addEventListener(type, lookSoon);
    }
    source.addEventListener("campaign.done", () => source.close());
  }
}
