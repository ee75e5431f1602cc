// Sorts and filters the rows that the page holds already. What is chosen stands in the address, so that it can be sent.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const body = document.querySelector("#board tbody");
const rows = [...body.rows].map((element) => ({ element, ...data.rows[element.dataset.row] }));
const heads = [...document.querySelectorAll("#board thead th")];
const control = (id) => document.getElementById(id);
const marks = [...document.querySelectorAll("[data-mark]")];
const boxes = [...document.querySelectorAll("[data-column]")];
const hiding = document.head.appendChild(document.createElement("style"));
const ascends = new Set(["rank", "model", "training"]); // of these the smallest is the first that one wants to see
const start = { suite: data.rows.length ? data.rows[0].values.suite : "", q: "", sort: "rank", dir: "", off: "", model: "" };
let state = { ...start };

for (const head of heads) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.onclick = () => sortBy(head.dataset.name);
  head.append(button);
}
for (const row of rows) {
  const name = row.element.querySelector("th"), button = document.createElement("button");
  button.type = "button";
  button.append(...[...name.childNodes].filter((node) => node.nodeName !== "STRONG"));
  button.onclick = () => change({ model: row.values.model });
  name.prepend(button);
  row.text = `${row.values.model} ${row.values.training}`.toLowerCase();
}

function sortBy(name) {
  const usual = ascends.has(name) ? "up" : "down", other = usual === "up" ? "down" : "up";
  const now = state.sort === name ? state.dir || usual : "";
  change({ sort: name, dir: now === usual ? other : usual });
}

function change(what) {
  state = { ...state, ...what };
  const kept = Object.entries(state).filter(([key, value]) => value && value !== start[key]);
  const address = "#" + new URLSearchParams(kept);
  history.replaceState(null, "", address === "#" ? location.pathname + location.search : address);
  show();
}

function fits(row) {
  if (row.values.suite !== state.suite || !row.text.includes(state.q.toLowerCase())) return false;
  return marks.every(({ dataset: { mark } }) => {
    const has = row.marks.includes(mark), wish = state["mark-" + mark];
    return !wish || (wish === "only") === has;
  });
}

function show() {
  const up = (state.dir || (ascends.has(state.sort) ? "up" : "down")) === "up" ? 1 : -1;
  const value = (row) => row.values[state.sort] ?? null;
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null); // what is missing comes last, either way
    return up * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
  };
  rows.sort((a, b) => compare(a, b) || (a.values.rank ?? 1e9) - (b.values.rank ?? 1e9));
  let count = 0;
  for (const row of rows) count += !(row.element.hidden = !fits(row));
  body.append(...rows.map((row) => row.element));
  for (const head of heads) {
    if (head.dataset.name === state.sort) head.setAttribute("aria-sort", up > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  }
  const off = state.off ? state.off.split(",") : [];
  hiding.textContent = off.map((column) => `.c${column}{display:none}`).join("");
  boxes.forEach((box) => (box.checked = !off.includes(box.dataset.column)));
  marks.forEach((select) => (select.value = state["mark-" + select.dataset.mark] || ""));
  control("suite").value = state.suite;
  if (control("search").value !== state.q) control("search").value = state.q;
  const all = rows.filter((row) => row.values.suite === state.suite).length;
  control("count").textContent = count === all ? `${all} models` : `${count} of ${all} models`;
  control("nothing").hidden = count > 0;
  details(state.model && rows.find((row) => row.values.model === state.model && row.values.suite === state.suite));
}

function details(row) {
  const dialog = control("details");
  if (!row) return dialog.open && dialog.close();
  control("details-name").textContent = row.values.model;
  const entries = [...Object.entries(row.facts)].flatMap(([name, text]) => {
    const term = document.createElement("dt"), fact = document.createElement("dd");
    term.textContent = name;
    fact.textContent = text;
    return [term, fact];
  });
  dialog.querySelector("dl").replaceChildren(...entries);
  if (!dialog.open) dialog.showModal();
}

function shown() {
  const off = new Set((state.off ? state.off.split(",") : []).map((column) => data.columns[column]));
  const names = data.names.filter((name) => !off.has(name.replace(/ (low|high)$/, "")));
  return [names, rows.filter((row) => !row.element.hidden).map((row) => names.map((name) => row.values[name] ?? null))];
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function csv() {
  const quoted = (value) => (value === null ? "" : /[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const [names, lines] = shown();
  return [names, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
}

function json() {
  const [names, lines] = shown();
  return JSON.stringify(lines.map((line) => Object.fromEntries(names.map((name, at) => [name, line[at]]))), null, 1);
}

control("csv").onclick = () => save("leaderboard.csv", "text/csv", csv());
control("json").onclick = () => save("leaderboard.json", "application/json", json());
control("suite").onchange = (event) => change({ suite: event.target.value });
control("search").oninput = (event) => change({ q: event.target.value });
control("controls").onsubmit = (event) => event.preventDefault();
control("details").onclose = () => state.model && change({ model: "" });
marks.forEach((select) => (select.onchange = () => change({ ["mark-" + select.dataset.mark]: select.value })));
boxes.forEach((box) => (box.onchange = () => change({ off: boxes.filter((one) => !one.checked).map((one) => one.dataset.column).join(",") })));
const read = () => {
  state = { ...start, ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };
  show();
};
addEventListener("hashchange", read);
control("controls").hidden = false;
read();
