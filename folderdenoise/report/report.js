"use strict";
(() => {
  document.documentElement.classList.add("js");

  // Sliders: the range input lies over the pictures, so that pointer, touch and keyboard all work as they always do.
  for (const stage of document.querySelectorAll(".stage")) {
    const range = stage.querySelector("input[type=range]");
    if (!range) continue;
    const move = () => stage.style.setProperty("--at", range.value + "%");
    range.hidden = false;
    range.addEventListener("input", move);
    move();
  }
  for (const label of document.querySelectorAll("label.removed")) {
    const box = label.querySelector("input");
    const compare = label.closest("article").querySelector(".compare");
    label.hidden = false;
    box.addEventListener("change", () => compare.classList.toggle("difference", box.checked));
  }

  // The table: only one page of it is in the document.
  const PAGE = 100;
  const LOOK = 0.25;
  const data = JSON.parse(document.getElementById("rows").textContent);
  const columns = data.columns;
  const at = Object.fromEntries(columns.map((column, index) => [column.key, index]));
  const root = document.getElementById("table");
  const form = root.querySelector("form");
  const [head, body] = [root.querySelector("thead tr"), root.querySelector("tbody")];
  const [previous, next] = root.querySelectorAll("nav button");
  const rows = data.rows.map((cells, index) => ({
    cells,
    reasons: data.reasons[index],
    text: [cells[at.file], at.notes === undefined ? "" : cells[at.notes], ...data.reasons[index]].join("\n").toLowerCase(),
  }));
  const collator = new Intl.Collator(undefined, { numeric: true });
  let sorted = { key: null, descending: false };
  let found = rows;
  let first = 0;

  const numeric = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);
  const isKnown = (value) => value !== null && value !== "";

  function compare(one, other, column, index) {
    const [a, b] = [one.cells[index], other.cells[index]];
    // Empty cells come last in either direction.
    if (!isKnown(a) || !isKnown(b)) return isKnown(b) - isKnown(a);
    const order = column.decimals === null ? collator.compare(a, b) : Math.sign(numeric(a) - numeric(b)) || 0;
    return sorted.descending ? -order : order;
  }

  function select() {
    const words = form.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
    const show = form.elements.show.value;
    const wanted = {
      all: () => true,
      look: (row) => at.score !== undefined && row.cells[at.score] >= LOOK,
      done: (row) => row.cells[at.status] === "done",
      failed: (row) => row.cells[at.status] !== "done",
    }[show];
    found = rows.filter((row) => wanted(row) && words.every((word) => row.text.includes(word)));
    if (sorted.key !== null) {
      const index = at[sorted.key];
      found.sort((one, other) => compare(one, other, columns[index], index));
    }
    first = 0;
    draw();
  }

  function cell(column, value, row) {
    const td = document.createElement(column.key === "file" ? "th" : "td");
    if (column.key === "file") td.scope = "row";
    if (column.decimals === null) {
      td.textContent = value;
      td.className = "text-" + column.key;
    } else {
      td.className = "number";
      const known = numeric(value);
      td.textContent = known === null ? "" : Number.isFinite(known) ? known.toFixed(column.decimals) : known > 0 ? "∞" : "−∞";
    }
    if (column.key === "score") {
      td.className = "number score" + (value >= LOOK ? " look" : "");
      td.title = row.reasons.join("\n");
      if (!value) td.textContent = "";
    }
    return td;
  }

  function draw() {
    const page = found.slice(first, first + PAGE);
    body.replaceChildren(
      ...page.map((row) => {
        const tr = document.createElement("tr");
        if (at.status !== undefined && row.cells[at.status] !== "done") tr.className = "failed";
        tr.append(...columns.map((column, index) => cell(column, row.cells[index], row)));
        return tr;
      }),
    );
    const last = first + page.length;
    const count = found.length.toLocaleString("en");
    form.querySelector("output").textContent =
      found.length === rows.length ? `${count} rows` : `${count} of ${rows.length.toLocaleString("en")} rows`;
    root.querySelector("nav span").textContent = page.length
      ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${count}`
      : "nothing found";
    root.querySelector("nav").hidden = found.length <= PAGE && page.length > 0;
    previous.disabled = first === 0;
    next.disabled = last >= found.length;
    for (const th of head.children) {
      const direction = sorted.descending ? "descending" : "ascending";
      th.ariaSort = th.dataset.key === sorted.key ? direction : "none";
    }
  }

  head.append(
    ...columns.map((column) => {
      const th = document.createElement("th");
      th.scope = "col";
      th.dataset.key = column.key;
      if (column.decimals !== null) th.className = "number";
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.title;
      button.title = column.words;
      button.addEventListener("click", () => {
        const again = sorted.key === column.key;
        // The first click shows what is most of interest: large figures, but names from A.
        sorted = { key: column.key, descending: again ? !sorted.descending : column.decimals !== null };
        select();
      });
      th.append(button);
      return th;
    }),
  );
  form.addEventListener("input", select);
  form.addEventListener("submit", (event) => event.preventDefault());
  previous.addEventListener("click", () => { first -= PAGE; draw(); });
  next.addEventListener("click", () => { first += PAGE; draw(); });
  root.hidden = false;
  select();
})();
