// Marks the fields that the server found wrong: its answer brings the words, this the mark.
"use strict";
document.addEventListener("htmx:afterSettle", () => {
  for (const error of document.querySelectorAll(".error")) {
    const control = document.getElementById(error.id.replace(/^error-/, "p-"));
    if (control) control.toggleAttribute("aria-invalid", false);
    if (control && error.textContent.trim()) control.setAttribute("aria-invalid", "true");
  }
});
// A second click before the next page comes asks for nothing more.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id !== "form") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
});
window.addEventListener("pageshow", () => {
  const form = document.getElementById("form");
  if (form) delete form.dataset.sent;
});
