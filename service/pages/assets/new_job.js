// The form for a new job: posts it to the API and goes to the page of the job.
import { ask, enableButtons, tellTrouble } from "./page.js";

const form = document.getElementById("new-job");

function pipeline() {
  const wanted = (name) => form.elements[name].checked;
  return {
    ...(wanted("select") ? {} : { select: null }),
    ...(wanted("regions") ? { aggregate: {}, correct: {} } : {}),
    keep_stages: wanted("keep_stages"),
  };
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const body = new FormData();
  for (const file of form.elements.files.files) body.append("files", file);
  body.append("model", form.elements.model.value);
  body.append("pipeline", JSON.stringify(pipeline()));
  button.disabled = true;
  tellTrouble("");
  document.getElementById("says").textContent = "Sending…";
  try {
    const created = await ask("/v1/pseudo-labels", { method: "POST", body });
    location.assign(`/jobs/${created.job.id}`);
  } catch (error) {
    document.getElementById("says").textContent = "";
    tellTrouble(error.message);
    button.disabled = false;
  }
});
if (form) enableButtons(form);
