"use strict";
(() => {
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, text, name) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
};
const byId = (id) => document.getElementById(id);

// The table: sorted by a column's heading, filtered by what is typed and chosen.
const table = document.querySelector("table.samples");
const lines = table ? all("tbody tr", table) : [];
const lineOf = new Map(lines.map((line) => [Number(line.dataset.row), line]));
const textOf = (cell) => cell.dataset.value ?? cell.textContent;

function sortBy(heading) {
  const place = heading.cellIndex, numbers = heading.dataset.kind === "number";
  const up = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of all("thead th", table)) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const sign = up ? 1 : -1;
  const compared = (one, other) => {
    const [a, b] = [textOf(one.cells[place]), textOf(other.cells[place])];
    if (a === "" || b === "") return (a === "") - (b === "");  // what is not known stands last
    return sign * (numbers ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true }));
  };
  table.tBodies[0].append(...lines.sort(compared));
}

function filter() {
  const typed = document.querySelector(".search").value.toLowerCase();
  const chosen = all("select[data-column]").filter((select) => select.value);
  let shown = 0;
  for (const line of lines) {
    const kept = line.textContent.toLowerCase().includes(typed) &&
      chosen.every((select) => textOf(line.cells[Number(select.dataset.column)]) === select.value.slice(1));
    line.hidden = !kept;
    shown += kept;
  }
  const count = document.querySelector(".count");
  count.textContent = `${shown === lines.length ? shown : `${shown} of ${lines.length}`} ${count.dataset.noun}s`;
}

if (table) {
  for (const button of all("button.sorts", table)) button.addEventListener("click", () => sortBy(button.closest("th")));
  for (const input of all(".search, select[data-column]")) input.addEventListener("input", filter);
}

// The panel of one sample: its card where the gallery has one, or else its line of the table and a small picture.
const panel = byId("panel"), thumbnails = byId("thumbnails");
const pictures = thumbnails ? JSON.parse(thumbnails.textContent) : {};
let open = -1;

function fill(row) {
  open = row;
  const line = lineOf.get(row), card = document.querySelector(`article.card[data-row="${row}"]`);
  const body = byId("panel-body");
  body.replaceChildren();
  byId("panel-title").textContent = (card ?? line).querySelector(".opens").textContent.trim();
  if (card) {
    const copy = card.cloneNode(true);
    copy.querySelector("h4").remove();
    for (const image of all("img", copy)) image.loading = "eager";
    body.append(...copy.childNodes);
    return;
  }
  const chips = make("ul", undefined, "chips");
  for (const [place, heading] of all("thead th", table).entries()) {
    const cell = line.cells[place];
    if (place === 0 || cell.textContent.trim() === "") continue;
    const chip = make("li", `${heading.textContent.trim()} ${cell.textContent.trim()}`);
    Object.assign(chip.dataset, cell.dataset);
    chips.append(chip);
  }
  body.append(chips);
  if (pictures[row]) {
    const image = make("img");
    image.src = pictures[row];
    image.alt = "small picture of the sample";
    image.className = "thumbnail";
    body.append(image);
  }
}

function show(row) {
  if (!lineOf.has(row) && !document.querySelector(`article.card[data-row="${row}"]`)) return;
  fill(row);
  if (!panel.open) panel.showModal();
}

function step(by) {
  const shown = lines.filter((line) => !line.hidden);
  const place = shown.indexOf(lineOf.get(open));
  const next = shown[place < 0 ? 0 : place + by];
  if (next) fill(Number(next.dataset.row));
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("button.opens, .dot, article.card img");
  if (opener && !panel.contains(opener)) show(Number(opener.closest("[data-row]").dataset.row));
  else if (event.target === panel) panel.close();
});
byId("panel-before").addEventListener("click", () => step(-1));
byId("panel-after").addEventListener("click", () => step(1));
panel.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
for (const box of all(".overlays")) {
  box.addEventListener("change", () => document.body.classList.toggle("no-overlays", !box.checked));
}

// The threshold: candidates are all scores, since nothing changes between two of them.
function threshold() {
  const { chosen, scores, defect, classes } = JSON.parse(byId("slider-data").textContent);
  const cuts = [...new Set([...scores, chosen])].sort((a, b) => a - b);
  cuts.unshift(cuts[0] - Math.max(1e-9, Math.abs(cuts[0]) * 1e-6));  // below it everything alarms
  const range = byId("slider-range"), own = cuts.indexOf(chosen);
  const percent = (count, of) => (of ? `${((100 * count) / of).toFixed(1)}%` : "none");
  const names = [...new Set(classes.filter((_, row) => defect[row]))].sort();
  const kinds = names.map((name) => ({ name, rows: scores.flatMap((_, row) => (defect[row] && classes[row] === name ? [row] : [])) }));
  const bars = kinds.map(({ name }) => {
    const line = make("div", undefined, "bar"), label = make("span", name), meter = make("i"), count = make("b");
    line.append(label, meter, count);
    byId("slider-classes").append(line);
    return { meter, count };
  });
  const update = () => {
    const cut = cuts[Number(range.value)];
    const counts = [[0, 0], [0, 0]];  // by defect, by alarm
    scores.forEach((score, row) => { counts[defect[row]][Number(score > cut)] += 1; });
    const [[passed, alarms], [missed, found]] = counts;
    const told = {
      value: cut.toPrecision(4), recall: percent(found, found + missed), fpr: percent(alarms, alarms + passed),
      precision: percent(found, found + alarms), found: `${found} of ${found + missed} defects`,
      alarms: `${alarms} of ${alarms + passed} normals`, raised: `${found} of ${found + alarms} alarms`,
      detected: found, missed, false: alarms, passed,
    };
    for (const [name, text] of Object.entries(told)) byId(`slider-${name}`).textContent = text;
    range.setAttribute("aria-valuetext", `${told.value}: ${told.recall} of defects found, ${told.fpr} false alarms`);
    kinds.forEach(({ rows }, place) => {
      const caught = rows.filter((row) => scores[row] > cut).length;
      bars[place].meter.style.setProperty("--share", caught / rows.length);
      bars[place].count.textContent = `${caught}/${rows.length}`;
    });
  };
  range.max = cuts.length - 1;
  range.value = own;
  range.addEventListener("input", update);
  byId("slider-back").addEventListener("click", () => { range.value = own; update(); });
  update();
}
if (byId("slider-data")) threshold();

// The plane of dots. Colours are told apart by who cannot tell red from green, and shapes repeat them.
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#8a93a3"];
const SHAPES = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.6-3.6h7.2v7.2h-7.2z", "M0-5L4.8 3.6H-4.8z", "M0-5.2L5.2 0L0 5.2L-5.2 0z",
  "M0 5L4.8-3.6H-4.8z", "M-1.7-5h3.4v3.3H5v3.4H1.7V5h-3.4V1.7H-5v-3.4h3.3z",
];
const RAMP = [[0, 34, 78], [62, 76, 109], [124, 123, 120], [187, 176, 106], [253, 234, 69]];  // cividis
const MOST_NAMES = 12;
const mixed = (share) => {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(at), RAMP.length - 2);
  return `rgb(${RAMP[low].map((part, place) => Math.round(part + (RAMP[low + 1][place] - part) * (at - low))).join(",")})`;
};

function colour(figure, data) {
  const dots = all(".dot", figure), legend = figure.querySelector(".legend");
  legend.replaceChildren();
  const entry = (text, fill, d) => {
    const space = figure.querySelector("svg").namespaceURI;
    const item = make("li"), svg = document.createElementNS(space, "svg"), mark = document.createElementNS(space, "path");
    svg.setAttribute("viewBox", "-6 -6 12 12");
    svg.setAttribute("aria-hidden", "true");
    mark.setAttribute("d", d);
    mark.style.fill = fill;
    svg.append(mark);
    item.append(svg, make("bdi", text));
    legend.append(item);
  };
  if (data.names) {
    const look = (code) => code < MOST_NAMES ? [COLOURS[code % 8], SHAPES[code % SHAPES.length]] : ["#8a93a3", SHAPES[0]];
    dots.forEach((dot, row) => {
      const [fill, d] = look(data.values[row]);
      dot.style.fill = fill;
      dot.setAttribute("d", d);
    });
    data.names.slice(0, MOST_NAMES).forEach((name, code) => entry(name || "not known", ...look(code)));
    if (data.names.length > MOST_NAMES) entry(`${data.names.length - MOST_NAMES} more`, ...look(MOST_NAMES));
    return;
  }
  const ordered = [...data.values].sort((a, b) => a - b), rank = (value) => ordered.indexOf(value) / Math.max(1, ordered.length - 1);
  dots.forEach((dot, row) => {
    dot.style.fill = mixed(rank(data.values[row]));
    dot.setAttribute("d", SHAPES[0]);
  });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    entry(ordered[Math.round(share * (ordered.length - 1))].toPrecision(4), mixed(share), SHAPES[0]);
  }
}
for (const figure of all("figure.scatter")) {
  const data = JSON.parse(figure.querySelector("script.data").textContent), select = figure.querySelector("select");
  select.addEventListener("change", () => colour(figure, data[Number(select.value)]));
  colour(figure, data[0]);
}

document.documentElement.classList.add("live");
})();
