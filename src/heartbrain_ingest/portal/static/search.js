// Completion (the combobox of the ARIA Authoring Practices, with a list and manual choice) and ticking all rows.
(() => {
  "use strict";
  let numbered = 0;

  function combobox(input) {
    if (input.getAttribute("role") === "combobox") return;
    const list = document.createElement("ul");
    list.id = `suggestions-${++numbered}`;
    list.className = "suggestions";
    list.hidden = true;
    list.setAttribute("role", "listbox");
    const label = input.labels && input.labels[0];
    list.setAttribute("aria-label", label ? label.textContent.trim() : "");
    let home = input.closest(".combo");
    if (!home) {
      home = document.createElement("span");
      home.className = "combo";
      input.replaceWith(home);
      home.append(input);
    }
    home.append(list);
    for (const [name, value] of Object.entries({
      role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id,
    })) input.setAttribute(name, value);
    let active = -1, shown = [], timer = 0, asked = null;

    const close = () => {
      clearTimeout(timer);
      if (asked) asked.abort();
      list.hidden = true;
      active = -1;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    };
    const mark = (index) => {
      active = index;
      [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
      if (index < 0) return input.removeAttribute("aria-activedescendant");
      input.setAttribute("aria-activedescendant", list.children[index].id);
      list.children[index].scrollIntoView({ block: "nearest" });
    };
    const choose = (one) => {
      const rest = input.value.slice(one.end);
      const whole = input.id === "query";
      const text = one.text + (whole && !rest.startsWith(" ") ? " " : "");
      input.value = input.value.slice(0, one.start) + text + rest;
      const cursor = one.start + text.length;
      input.setSelectionRange(cursor, cursor);
      close();
      if (whole) later(0); else input.dispatchEvent(new Event("change", { bubbles: true }));
    };
    const show = (found) => {
      shown = found;
      list.replaceChildren(...found.map((one, at) => {
        const item = document.createElement("li");
        item.id = `${list.id}-${at}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        item.append(one.text);
        if (one.detail) {
          const detail = document.createElement("span");
          detail.textContent = one.detail;
          item.append(detail);
        }
        item.addEventListener("mousedown", (event) => { event.preventDefault(); choose(one); });
        return item;
      }));
      active = -1;
      input.removeAttribute("aria-activedescendant");
      list.hidden = !found.length;
      input.setAttribute("aria-expanded", String(!!found.length));
      const status = document.getElementById("suggestions-status");
      if (status) status.textContent = found.length ? status.dataset.says.replace("{count}", found.length) : "";
    };
    const ask = async () => {
      if (asked) asked.abort();
      asked = new AbortController();
      const address = new URL(input.dataset.complete, location.href);
      address.searchParams.set("q", input.value.slice(0, input.selectionStart));
      for (const name of ["kind", "property"]) {
        const field = input.dataset[name] && document.querySelector(input.dataset[name]);
        if (field) address.searchParams.set(name, field.value);
      }
      try {
        const answer = await fetch(address, { signal: asked.signal, headers: { Accept: "application/json" } });
        if (answer.ok && !answer.redirected && document.activeElement === input) show(await answer.json());
      } catch (problem) {
        if (problem.name !== "AbortError") close();
      }
    };
    const later = (wait) => { clearTimeout(timer); timer = setTimeout(ask, wait); };

    input.addEventListener("input", () => later(150));
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      const last = shown.length - 1;
      if (event.key === "Escape" && !list.hidden) { event.preventDefault(); close(); }
      else if (event.key === "ArrowDown" && list.hidden) { event.preventDefault(); later(0); }
      else if (list.hidden) return;
      else if (event.key === "ArrowDown") { event.preventDefault(); mark(active < last ? active + 1 : 0); }
      else if (event.key === "ArrowUp") { event.preventDefault(); mark(active > 0 ? active - 1 : last); }
      else if (event.key === "Enter" && active >= 0) { event.preventDefault(); choose(shown[active]); }
      else if (event.key === "Enter") close();
    });
  }

  function ticks(table) {
    const all = table.querySelector("#all");
    if (!all || !all.hidden) return;
    const rows = () => [...table.querySelectorAll('input[name="ids"]')];
    all.hidden = false;
    all.checked = false;
    all.addEventListener("change", () => rows().forEach((row) => { row.checked = all.checked; }));
    table.addEventListener("change", (event) => {
      if (event.target.name !== "ids") return;
      const ticked = rows().filter((row) => row.checked).length;
      all.checked = ticked === rows().length;
      all.indeterminate = ticked > 0 && !all.checked;
    });
  }

  function wake(part) {
    part.querySelectorAll("input[data-complete]").forEach(combobox);
    part.querySelectorAll("table").forEach(ticks);
  }

  // What goes wrong in place is shown on a page of its own.
  document.addEventListener("htmx:responseError", (event) => {
    const link = event.detail.elt.closest("#results a[href]");
    if (link) location.assign(link.href);
  });
  document.addEventListener("DOMContentLoaded", () => wake(document));
  document.addEventListener("htmx:load", (event) => wake(event.detail.elt));
})();
