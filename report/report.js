"use strict";

// Contents: open next to the text, closed above it; the section in view is marked.
const beside = matchMedia("(min-width: 70rem)");
const contents = document.getElementById("contents");
contents.open = beside.matches;
beside.addEventListener("change", () => { contents.open = beside.matches; });
contents.addEventListener("click", event => {
  if (event.target.closest("a") && !beside.matches) contents.open = false;
});
const links = new Map(
  [...contents.querySelectorAll("a")].map(link => [link.getAttribute("href").slice(1), link]));
const sections = [...document.querySelectorAll("main > section")];
function markSection() {
  const current = sections.findLast(s => s.getBoundingClientRect().top < innerHeight / 3) ?? sections[0];
  for (const section of sections) {
    const link = links.get(section.id);
    if (!link) continue;
    link.parentElement.classList.toggle("current", section === current);
    if (section === current) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
let waiting = false;
addEventListener("scroll", () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; markSection(); });
}, { passive: true });
markSection();

// A link into something folded opens it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target?.closest("details:not([open])");
  if (folded) { folded.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", unfold);
unfold();

// Tables: numbers sort by data-sort where there is one, missing values always last.
const MANY_ROWS = 20;
const key = cell => {
  const text = (cell.dataset.sort ?? cell.textContent).trim().replace("\u2212", "-").replaceAll(",", "");
  if (text === "" || text === "\u2013") return null;
  return cell.classList.contains("num") ? Number(text) : text.toLowerCase();
};
function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].map(row => [key(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
    });
    body.append(...rows.map(([, row]) => row));
  }));
}
function filterable(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length <= MANY_ROWS) return;
  const label = make("label", "Rows with ");
  const input = make("input");
  input.type = "search";
  input.dir = "auto";
  input.autocomplete = "off";
  label.append(input);
  const status = make("span", "");
  status.setAttribute("role", "status");
  const line = make("p", "", "filter");
  line.append(label, " ", status);
  table.parentElement.before(line);
  input.addEventListener("input", () => {
    const words = wordsOf(input.value);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
      shown += !row.hidden;
    }
    status.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
  });
}
for (const table of document.querySelectorAll("table.sortable")) { sortable(table); filterable(table); }

// Figures as files: what takes the colour of the page is black on paper.
for (const button of document.querySelectorAll("[data-drawing]")) {
  button.parentElement.hidden = false;
  button.addEventListener("click", () => {
    const name = button.dataset.drawing;
    const svg = document.querySelector(`#${CSS.escape(name)} svg`).cloneNode(true);
    const text = new XMLSerializer().serializeToString(svg).replaceAll("currentColor", "#000000");
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = `${name}.svg`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

// Candidates: everything is text, nothing is ever read as markup.
const PAGE = 3;
function make(tag, text = "", name = "") {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (name) element.className = name;
  return element;
}
function wordsOf(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}
function marked(tag, text, words) {
  const element = make(tag);
  element.dir = "auto";
  const parts = words.length
    ? text.split(new RegExp(`(${words.map(w => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "i"))
    : [text];
  parts.forEach((part, index) => element.append(index % 2 ? make("mark", part) : part));
  return element;
}
function beginning(text) {
  const units = [...text.slice(0, 200)];
  return units.length > 60 ? `${units.slice(0, 60).join("")}\u2026` : text;
}
function shown(score) {
  if (score === null) return "\u2013";
  const text = Number.isInteger(score) || Math.abs(score) >= 100
    ? Math.round(score).toLocaleString("en-GB")
    : Math.abs(score) >= 1 ? String(Number(score.toPrecision(3))) : score.toFixed(3);
  return text.replace("-", "\u2212");
}
function browse(root) {
  const pool = JSON.parse(root.querySelector("script").textContent);
  const control = name => document.getElementById(`${root.id}-${name}`);
  const options = (name, entries) => control(name).append(...entries.map(([value, text]) => {
    const option = make("option", text);
    option.dir = "auto";
    option.value = value;
    return option;
  }));
  options("prompt", pool.prompts.map(p => [p.id, beginning(p.text)]));
  options("teacher", pool.teachers.map((name, index) => [index, name]));
  options("set", pool.sets.map((set, index) => [index, `${set.name} (${set.text})`]));
  options("order", pool.metrics.flatMap((name, index) =>
    [[`${index} down`, `${name}, highest first`], [`${index} up`, `${name}, lowest first`]]));
  const found = root.querySelector(".found");
  const status = root.querySelector(".status");
  const further = root.querySelector(".further");
  let matches = [];

  // The candidates of a prompt that are asked for; none: the prompt is not shown.
  function select(prompt, words) {
    const [teacher, set] = [control("teacher").value, control("set").value];
    if (control("prompt").value && prompt.id !== control("prompt").value) return [];
    const chosen = prompt.chosen.filter(c => set === "" || c.set === Number(set));
    if (set !== "" && !chosen.length) return [];
    const has = text => { const low = text.toLowerCase(); return words.every(word => low.includes(word)); };
    const whole = has(prompt.text);
    return prompt.candidates.map((candidate, index) => ({
      candidate, reasons: chosen.filter(c => c.candidate === index),
    })).filter(({ candidate, reasons }) =>
      (whole || has(candidate.text))
      && (teacher === "" || candidate.teacher === Number(teacher))
      && (!control("chosen").checked || reasons.length));
  }
  function ordered(candidates) {
    const [metric, way] = control("order").value.split(" ");
    if (metric === "") return candidates;
    const value = entry => entry.candidate.scores[metric];
    return candidates.sort((a, b) => {
      if (value(a) === null || value(b) === null) return (value(a) === null) - (value(b) === null);
      return (value(a) - value(b)) * (way === "down" ? -1 : 1);
    });
  }
  function absent(finish) {
    return ["stop", "length"].includes(finish) ? "(empty)" : `(no answer: ${finish.replace("_", " ")})`;
  }
  function card({ candidate, reasons }, words) {
    const box = make("div", "", reasons.length ? "answer chosen" : "answer");
    const who = make("p", "", "who");
    who.append(make("b", pool.teachers[candidate.teacher]), make("span", `sample ${candidate.sample}`));
    box.append(who);
    box.append(candidate.text.trim() ? marked("blockquote", candidate.text, words) : make("blockquote", absent(candidate.finish)));
    const scores = pool.metrics.map((name, index) => `${name} ${shown(candidate.scores[index])}`);
    if (candidate.finish === "length") scores.push("truncated at the token limit");
    box.append(make("p", scores.join(" \u00b7 "), "note"));
    if (reasons.length) {
      const list = make("ul", "", "why");
      for (const reason of reasons) {
        const item = make("li");
        item.append(make("b", pool.sets[reason.set].name), `: ${reason.why}`);
        list.append(item);
      }
      box.append(list);
    }
    return box;
  }
  function more() {
    const words = wordsOf(control("words").value);
    const start = found.children.length;
    for (const [prompt, candidates] of matches.slice(start, start + PAGE)) {
      const section = make("section", "", "sample");
      const answers = make("div", "", "answers");
      answers.append(...ordered(candidates).map(entry => card(entry, words)));
      section.append(marked("h4", prompt.text, words), answers);
      found.append(section);
    }
    further.hidden = found.children.length >= matches.length;
  }
  function search() {
    const words = wordsOf(control("words").value);
    matches = pool.prompts.map(prompt => [prompt, select(prompt, words)]).filter(([, c]) => c.length);
    const n = matches.reduce((sum, [, candidates]) => sum + candidates.length, 0);
    status.textContent = `${n.toLocaleString("en-GB")} candidate${n === 1 ? "" : "s"} for ${matches.length} of ${pool.prompts.length} prompts`;
    found.replaceChildren();
    more();
  }
  root.querySelector("form").addEventListener("input", search);
  root.querySelector("form").addEventListener("submit", event => event.preventDefault());
  further.addEventListener("click", more);
  root.hidden = false;
  search();
}
for (const root of document.querySelectorAll(".pool:not(.comparison)")) browse(root);

// Two models side by side: their answers to one prompt.
function compare(root) {
  const found = JSON.parse(root.querySelector("script").textContent);
  const control = name => document.getElementById(`${root.id}-${name}`);
  const options = (name, texts) => control(name).append(...texts.map((text, index) => {
    const option = make("option", text);
    option.dir = "auto";
    option.value = index;
    return option;
  }));
  for (const side of ["left", "right"]) {
    options(side, found.models);
    control(side).value = found[side];
  }
  options("prompt", found.prompts.map(prompt => beginning(prompt.text)));
  const shown = root.querySelector(".found");
  function card(prompt, index) {
    const box = make("div", "", "answer");
    const answer = prompt.answers[index];
    const who = make("p", "", "who");
    who.append(make("b", found.models[index]));
    const text = make("blockquote", answer ? answer.completion.trim() || answer.absent : "(no answer)");
    text.dir = "auto";
    box.append(who, text, make("p", answer?.note ?? "", "note"));
    return box;
  }
  function show() {
    const prompt = found.prompts[control("prompt").value];
    const heading = make("h4", prompt.text);
    heading.dir = "auto";
    const answers = make("div", "", "answers");
    answers.append(card(prompt, control("left").value), card(prompt, control("right").value));
    shown.replaceChildren(heading, answers);
  }
  function turn(step) {
    const list = control("prompt");
    list.value = (Number(list.value) + step + found.prompts.length) % found.prompts.length;
    show();
  }
  root.querySelector(".back").addEventListener("click", () => turn(-1));
  root.querySelector(".next").addEventListener("click", () => turn(1));
  root.querySelector("form").addEventListener("input", show);
  root.querySelector("form").addEventListener("submit", event => event.preventDefault());
  root.hidden = false;
  show();
}
for (const root of document.querySelectorAll(".comparison")) compare(root);

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details.more:not(.wide)")) details.open = true;
});
