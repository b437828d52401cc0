// What a page does besides links and forms. Without it the main job works all the same.
"use strict";

const says = (text) => { const place = document.getElementById("says"); if (place) place.textContent = text; };
const inField = (node) => node && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName));

// A problem is read first: the focus goes to its summary.
const problem = document.getElementById("problem");
if (problem) problem.focus();

// A safety item that turns positive shows its advice at once, before the rest is answered.
document.addEventListener("change", (event) => {
  const question = event.target.closest("fieldset.question");
  const advice = question && question.querySelector(".advice");
  if (advice) advice.hidden = !question.querySelector("[data-alarming]:checked");
});

// Text is not lost when one leaves a page: it is kept in this tab, for this person, case, command and what it is about,
// until it has arrived, or until she signs out.
const PLACE = "caseloom:";
const keptPlaces = () => Object.keys(sessionStorage).filter((name) => name.startsWith(PLACE));
if (document.querySelector("[data-door]")) keptPlaces().forEach((name) => sessionStorage.removeItem(name));
const done = document.querySelector("[data-done]");
if (done) keptPlaces().filter((name) => name.startsWith(PLACE + done.dataset.done)).forEach((name) => sessionStorage.removeItem(name));
const form = document.querySelector("form[data-keep]");
const typed = () => JSON.stringify([...new FormData(form)].filter(([name, value]) => !name.startsWith("_") && value));
if (form) {
  const place = PLACE + form.dataset.keep;
  const kept = sessionStorage.getItem(place);
  if (kept && !problem && kept !== typed()) {
    for (const [name, value] of JSON.parse(kept)) {
      for (const field of form.elements) {
        if (field.name !== name || field.type === "hidden") continue;
        if (field.type === "radio" || field.type === "checkbox") field.checked = field.checked || field.value === value;
        else if (!field.value) field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      }
    }
    const note = document.getElementById("restored");
    if (note) { note.hidden = false; says(note.textContent); }
  }
  form.addEventListener("input", () => sessionStorage.setItem(place, typed()));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(form.querySelector("button.main"));
  });
}

// Questions that an answer leads to appear at once, and go with it. Nothing else on the page is touched.
const questions = document.getElementById("questions");
if (questions) questions.addEventListener("change", async (event) => {
  if (!event.target.closest("[data-leads]")) return;
  const typedNow = new FormData(form);
  typedNow.append("_look", "1");
  const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(typedNow), headers: { "HX-Request": "true" } });
  if (!answer.ok) return;
  const asked = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("questions");
  if (!asked) return;
  const wanted = [...asked.children];
  for (const there of [...questions.children]) if (!asked.querySelector(`#${CSS.escape(there.id)}`)) there.remove();
  wanted.forEach((question, at) => {
    if (!document.getElementById(question.id)) questions.insertBefore(question, questions.children[at] || null);
  });
});

// What was sent is said once, and not again when the page is looked at once more.
if (done && location.search) history.replaceState(null, "", location.pathname);

// Keys: one letter each, and none while somebody types.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || inField(event.target)) return;
  const rows = [...document.querySelectorAll("tbody tr")];
  const at = rows.indexOf(document.activeElement.closest("tr"));
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (target) { event.preventDefault(); target.tagName === "INPUT" ? target.focus() : target.click(); return; }
  const step = { j: 1, k: -1 }[event.key];
  if (step && rows.length) {
    const row = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
    (row.querySelector("a, button") || row).focus();
  }
});

// What changes meanwhile is offered, and never moves under the pointer; a list without a form shows it by itself.
const live = document.querySelector("[data-live]");
if (live && document.body.hasAttribute("data-signed-in") && window.EventSource) {
  const stream = new EventSource("/desk/live");
  const fresh = async () => {
    if (inField(document.activeElement)) { says("…"); return; }
    const answer = await fetch(location.href, { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const now = page.querySelector("[data-live]");
    if (!now || now.innerHTML === live.innerHTML) return;
    const focused = document.activeElement && live.contains(document.activeElement) && document.activeElement.getAttribute("href");
    live.replaceChildren(...now.childNodes);
    const again = focused && live.querySelector(`a[href="${CSS.escape(focused)}"]`);
    if (again) again.focus();
    says(live.dataset.changed || "");
  };
  stream.addEventListener("work", fresh);
  addEventListener("pagehide", () => stream.close());
}

const print = document.querySelector("[data-print]");
if (print) print.addEventListener("click", () => window.print());
