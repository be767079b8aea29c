// Sorting and filters. Without this file every row is there all the same.
"use strict";

const number = /^[-+]?[\d,.]*\d/;
const value = (row, column) => row.cells[column].textContent.trim();

function compare(a, b) {
  const [x, y] = [a, b].map((text) => (number.test(text) ? parseFloat(text.replace(/,/g, "")) : NaN));
  if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1; // what is no number comes last
  return isNaN(x) ? a.localeCompare(b) : x - y;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      // The first click on a number shows the greatest first, and on a word the first of the alphabet.
      const dates = /^\d{4}-\d\d-\d\d/.test(value(table.tBodies[0].rows[0] || head.parentNode, column));
      const first = head.classList.contains("number") || dates ? "descending" : "ascending";
      const other = first === "descending" ? "ascending" : "descending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const text = (row) => value(row, column);
      const by = dates ? (a, b) => a.localeCompare(b) : compare;
      const rows = [...table.tBodies[0].rows].sort((a, b) => sign * by(text(a), text(b)));
      table.tBodies[0].append(...rows);
    });
  });
}

for (const form of document.querySelectorAll("form.filters")) {
  const apply = () => {
    const wanted = [...new FormData(form)].filter(([, choice]) => choice);
    let shown = 0;
    for (const table of document.querySelectorAll("table.sortable")) {
      let here = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = wanted.some(([key, choice]) => row.getAttribute(`data-${key}`) !== choice);
        here += !row.hidden;
      }
      const section = table.closest("section.table");
      if (section) section.hidden = here === 0;
      shown += here;
    }
    form.querySelector("[role=status]").textContent = wanted.length ? `${shown} rows` : "";
  };
  form.hidden = false;
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  apply(); // a browser keeps choices when a page is loaded again
}
