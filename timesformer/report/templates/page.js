"use strict";

const NARROW = window.matchMedia("(max-width: 600px)").matches;

function draw(box) {
  if (box.dataset.drawn) return;
  box.dataset.drawn = "yes";
  const figure = JSON.parse(document.getElementById(box.dataset.figure).textContent);
  const zooms = box.dataset.zooms === "yes";
  if (NARROW) fitPhone(figure, zooms);
  box.style.height = `${figure.layout.height}px`;
  Plotly.newPlot(box, figure.data, figure.layout, {
    responsive: true, displaylogo: false, displayModeBar: zooms,
    modeBarButtons: [["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
  });
}

function fitPhone(figure, zooms) {
  const layout = figure.layout;
  layout.font.size = 11;
  layout.margin.l = 44;
  layout.margin.r = 8;
  if (!zooms) {
    layout.dragmode = false;  // a finger scrolls the page
    return;
  }
  const names = figure.data[0].x.length;
  figure.data[0].showscale = false;
  layout.height = Math.min(layout.height, 420);
  if (names > 15) {  // no room for them; a tap on a cell says them
    layout.xaxis.showticklabels = layout.yaxis.showticklabels = false;
  }
}

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
}

function compare(a, b) {
  return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
}

function sort(head) {
  const body = head.closest("table").tBodies[0];
  const isNumber = head.classList.contains("number") || head.classList.contains("share");
  const before = head.getAttribute("aria-sort");
  const rises = before ? before === "descending" : !isNumber;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", rises ? "ascending" : "descending");
  const rows = Array.from(body.rows, (row) => [valueOf(row, head.cellIndex), row]);
  rows.sort((a, b) => (rises ? 1 : -1) * compare(a[0], b[0]));
  body.append(...rows.map((pair) => pair[1]));
}

function search(field) {
  const words = field.value.toLowerCase();
  const body = document.getElementById(field.dataset.table).tBodies[0];
  for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(words);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}
for (const field of document.querySelectorAll("input[data-table]")) {
  field.addEventListener("input", () => search(field));
}
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => details.querySelectorAll(".plot").forEach(draw));
}
for (const box of document.querySelectorAll(".plot")) {
  if (!box.closest("details:not([open])")) draw(box);
}
