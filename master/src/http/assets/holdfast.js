// The pages work without this module. It adds keys, and asks again for what changes by itself: the agents that serve an edit, and
// the strip of campuses.

const places = () => [...document.querySelectorAll("a[data-key]")];
let awaits_place = false;

function to_search(event) {
  const field = document.getElementById("search");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey) return to_search(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (awaits_place) {
    awaits_place = false;
    const place = places().find((one) => one.dataset.key === event.key);
    if (place) {
      event.preventDefault();
      place.click();
    }
    return;
  }
  if (event.key === "/") to_search(event);
  else if (event.key === "g") awaits_place = true;
  else if (event.key === "?") document.getElementById("keys")?.showModal();
  else if (event.target.closest("[data-map]")) walk(event);
});

// From address to address: left and right by one, up and down by a row of the map as it is laid out now.
function walk(event) {
  const map = event.target.closest("[data-map]");
  const columns = getComputedStyle(map.querySelector("ol")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -Infinity, End: Infinity }[event.key];
  if (!step) return;
  const cells = [...map.querySelectorAll(".cell")];
  const at = cells.indexOf(event.target.closest(".cell"));
  const to = Math.max(0, Math.min(cells.length - 1, at + step));
  event.preventDefault();
  cells[to].focus();
}

// The map is one stop for the tab key; arrows do the rest.
for (const map of document.querySelectorAll("[data-map]")) {
  const cells = [...map.querySelectorAll(".cell")];
  cells.forEach((cell, at) => (cell.tabIndex = at === 0 ? 0 : -1));
  map.addEventListener("focusin", (event) => {
    const now = event.target.closest(".cell");
    cells.forEach((cell) => (cell.tabIndex = cell === now ? 0 : -1));
  });
}

// A file that is picked is put where its text belongs.
for (const picker of document.querySelectorAll("input[type=file][data-fill]")) {
  picker.addEventListener("change", async () => {
    const file = picker.files[0];
    if (!file) return;
    document.getElementById(picker.dataset.fill).value = await file.text();
    document.getElementById(picker.dataset.name).value = file.name;
  });
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Asks for a part of the page and puts it in where it changed: a screen reader does not say the same again. Tells whether it came.
async function renew(box, address) {
  try {
    const answer = await fetch(address, { headers: { accept: "text/html" }, redirect: "error" });
    if (!answer.ok) return false;
    const text = await answer.text();
    if (text !== box.shown) box.innerHTML = box.shown = text;
    return true;
  } catch {
    return false;
  }
}

async function follow(box) {
  let wait_ms = 300;
  while (!box.querySelector("[data-done]")) {
    await pause(wait_ms);
    // Quick at first, because an edit takes well under a second; then gently, for an agent that is cut off.
    wait_ms = Math.min(wait_ms * 1.2, 3000);
    if (!document.hidden && !(await renew(box, box.dataset.follow))) wait_ms = 3000;
  }
}

async function live(box) {
  for (;;) {
    await pause(2000);
    if (document.hidden || box.contains(document.activeElement)) continue;
    if (!(await renew(box, box.dataset.live))) await pause(5000);
  }
}

document.querySelectorAll("[data-follow]").forEach(follow);
document.querySelectorAll("[data-live]").forEach(live);
