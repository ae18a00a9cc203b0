// The page of one label: the viewer, decisions, and keys for the labels before and after.
import { wireReview } from "./review.js";
import { openViewer } from "./viewer.js";

openViewer();
wireReview();
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, select, textarea") && event.target.type !== "range";
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const go = { j: "after", k: "before" }[event.key];
  if (go) document.getElementById(go)?.click();
});
