// The pages work without this module. It adds two things: "/" goes to the search field, and the list of agents that serve
// an edit is asked for again until all of them do.

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const field = document.querySelector("input[type=search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
});

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function follow(box) {
  const address = box.dataset.follow;
  let shown = box.innerHTML;
  let wait_ms = 300;
  for (;;) {
    await pause(wait_ms);
    // Quick at first, because an edit takes well under a second; then gently, for an agent that is cut off.
    wait_ms = Math.min(wait_ms * 1.2, 3000);
    if (document.hidden) continue;
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" }, redirect: "error" });
      if (!answer.ok) continue;
      const text = await answer.text();
      // Only what changed is put in, so that a screen reader does not say the same again.
      if (text !== shown) box.innerHTML = shown = text;
      if (box.querySelector("[data-done]")) return;
    } catch {
      wait_ms = 3000;
    }
  }
}

for (const box of document.querySelectorAll("[data-follow]")) {
  if (!box.querySelector("[data-done]")) follow(box);
}
