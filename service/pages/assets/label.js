// The page of one label: the viewer, and arrow keys with Alt for the next one.
import { openViewer } from "./viewer.js";

openViewer();
document.addEventListener("keydown", (event) => {
  if (event.target.closest?.("input, select, textarea") || event.ctrlKey || event.metaKey) return;
  const go = { j: "after", k: "before" }[event.key];
  if (go) document.getElementById(go)?.click();
});
