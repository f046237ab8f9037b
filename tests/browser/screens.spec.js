// Every screen: nothing that shuts somebody out (WCAG 2.2 AA by axe), nothing too heavy, nothing from elsewhere, and a picture to look at.
import { expect, test } from "@playwright/test";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const SCREENS = {
  overview: "/",
  hosts: "/hosts",
  host: "/hosts/darwin826.uni.example",
  "new-host": "/hosts/new",
  subnets: "/subnets",
  subnet: "/subnets/10.1.4.0/22",
  zones: "/zones",
  zone: "/zones/uni.example",
  record: "/zones/uni.example/record",
  dhcp: "/dhcp",
  boot: "/boot",
  "boot-of-campus": "/boot/campus/north",
  nas: "/nas",
  "new-nas": "/nas/new",
  campuses: "/campuses",
  node: "/nodes/north",
  changes: "/changes",
  drafts: "/drafts",
  checks: "/checks",
  organisation: "/organisation",
  people: "/people",
  "new-person": "/people/new",
  import: "/import",
  account: "/account",
  find: "/find?search=nothing-of-this-name",
  missing: "/nowhere",
};
// What a page may weigh by wire, alone and with all that stays in the browser.
const PAGE_LIMIT_BYTES = 50_000;
const WHOLE_LIMIT_BYTES = 120_000;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

for (const [name, path] of Object.entries(SCREENS)) {
  test(`${name} shuts nobody out and is light`, async ({ page }) => {
    const wire = await page.context().newCDPSession(page);
    await wire.send("Network.enable");
    const sizes = new Map();
    wire.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength));
    const asked = [];
    wire.on("Network.requestWillBeSent", ({ requestId, request, type }) => asked.push({ requestId, url: request.url, type }));
    const said = [];
    // Hints of the browser's makers ("verbose") are no complaints.
    page.on("console", (message) => { if (["error", "warning"].includes(message.type())) said.push(message.text()); });
    page.on("pageerror", (error) => said.push(String(error)));
    const answer = await page.goto(path);
    expect(answer.status()).toBe(name === "missing" ? 404 : 200);
    await page.evaluate(AXE);
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      const found = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: tags }), TAGS);
      const told = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      expect(told, `${scheme} ${path}`).toEqual([]);
    }
    const own = new URL(page.url()).origin;
    expect(asked.filter(({ url }) => !url.startsWith(own) && !url.startsWith("data:")), "nothing is fetched from elsewhere").toEqual([]);
    const document = asked.find(({ type }) => type === "Document");
    expect(sizes.get(document.requestId)).toBeLessThan(PAGE_LIMIT_BYTES);
    const whole = asked.filter(({ type }) => type !== "Fetch" && type !== "XHR").reduce((sum, { requestId }) => sum + (sizes.get(requestId) ?? 0), 0);
    expect(whole).toBeLessThan(WHOLE_LIMIT_BYTES);
    const faults = said.filter((text) => !(name === "missing" && text.includes("404")));
    expect(faults, "the browser complains of nothing").toEqual([]);
  });

  test(`${name} fits every window`, async ({ page }) => {
    for (const width of [360, 1280, 2560]) {
      await page.setViewportSize({ width, height: 900 });
      const answer = await page.goto(path);
      expect(answer.status()).toBe(name === "missing" ? 404 : 200);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      expect(over, `${path} at ${width} px moves sideways`).toBeLessThanOrEqual(0);
      await page.screenshot({ path: `output/pictures/${name}-${width}.png`, fullPage: true });
    }
  });
}

test("names with markup and huge values stay what they are", async ({ page }) => {
  const nasty = '"><img src=x onerror="globalThis.ran=1"><script>globalThis.ran=1</script>';
  for (const value of [nasty, "a".repeat(20_000)]) {
    await page.goto("/hosts/new");
    for (const label of ["Host name", "Aliases", "Hardware address", "Location", "Contact", "Comment"]) await page.getByLabel(label).fill(value);
    await page.getByRole("button", { name: "Preview" }).last().click();
    await expect(page.getByRole("alert")).toBeVisible();
    await page.goto(`/find?search=${encodeURIComponent(value.slice(0, 2000))}`);
    await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
  }
  expect(await page.evaluate(() => globalThis.ran)).toBeUndefined();
});
