// On every page: times in the reader's own zone, and requests that say where they come from.

export function localTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.dateTime;
    time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}

/** Sends a request to the API; returns its document. Throws an Error with the problem's detail. */
export async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, { credentials: "same-origin", ...options });
  } catch {
    throw new Error("The service does not answer. Try again in a moment.");
  }
  const text = await answer.text();
  let document = null;
  try { document = text ? JSON.parse(text) : null; } catch { /* not JSON: told below */ }
  if (!answer.ok) throw new Error(document?.detail ?? `The service answered ${answer.status}.`);
  return document;
}

/** Shows what went wrong where the page has a place for it. */
export function tellTrouble(text) {
  const place = document.getElementById("trouble");
  if (!place) return;
  place.textContent = text;
  place.hidden = !text;
}

/** Lets buttons be pressed that need a script. They come disabled, so that no press is lost before it runs. */
export function enableButtons(root) {
  for (const button of root.querySelectorAll("button")) button.disabled = false;
}

localTimes();
