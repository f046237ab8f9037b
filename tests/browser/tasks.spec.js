// What an administrator does most, by mouse and by keyboard alone.
import { expect, test } from "@playwright/test";
import { execFileSync } from "node:child_process";
import { HANDS, isServed, previewAndSave } from "./hands.js";

const run = (line) => execFileSync("/bin/sh", ["-c", line]);

for (const [number, Hand] of HANDS.entries()) {
  const mine = (text) => text.replaceAll("#", String(number));

  test.describe(new Hand().name, () => {
    let hand;
    test.beforeEach(async ({ page }) => {
      hand = new Hand(page);
      await page.goto("/");
    });

    test("a host is added at the next address, and both campuses serve it", async ({ page }) => {
      await hand.place("Hosts");
      await hand.press(page.getByRole("link", { name: "Add a host" }));
      await hand.type(page.getByLabel("Host name"), mine("browser-#.uni.example"));
      await hand.type(page.getByLabel("Addresses"), mine("10.1.5.24#"));
      await hand.type(page.getByLabel("Hardware address"), mine("02-00-00-00-77-0#"));
      await previewAndSave(page, hand, "Save");
      await expect(page.getByRole("heading", { level: 1 })).toHaveText(mine("browser-#.uni.example"));
    });

    test("a host is found by its hardware address in another spelling", async ({ page }) => {
      await page.keyboard.press("/");
      await page.keyboard.type(mine("0200.0000.770#"));
      await page.keyboard.press("Enter");
      await expect(page.getByRole("heading", { level: 1 })).toHaveText(mine("browser-#.uni.example"));
    });

    test("a host gets another name", async ({ page }) => {
      await page.goto(mine("/hosts/browser-#.uni.example"));
      await hand.press(page.getByRole("link", { name: "Edit", exact: true }));
      await hand.type(page.getByLabel("Aliases"), mine("also-#.uni.example"));
      await hand.press(page.getByRole("button", { name: "Preview" }).last());
      await expect(page.locator("#effects .what").filter({ hasText: mine("also-#.uni.example") }).first()).toBeVisible();
      await hand.press(page.getByRole("button", { name: "Save", exact: true }));
      await isServed(page);
    });

    test("what is wrong stands beside its field, and what was typed stays", async ({ page }) => {
      await page.goto("/hosts/new");
      await hand.type(page.getByLabel("Host name"), "www.uni.example");
      await hand.type(page.getByLabel("Hardware address"), "02:00:zz");
      await hand.press(page.getByRole("button", { name: "Preview" }).last());
      await expect(page.getByRole("alert")).toBeVisible();
      await expect(page.getByLabel("Hardware address")).toHaveAttribute("aria-invalid", "true");
      await expect(page.getByLabel("Hardware address")).toHaveValue("02:00:zz");
      await expect(page.locator("#mac-0-wrong")).toBeVisible();
    });

    test("a host is added from the map of its subnet", async ({ page }) => {
      await page.goto("/subnets/10.1.4.0/22");
      const cell = page.locator("a.cell.free").nth(5 + number);
      const address = new URL(await cell.getAttribute("href"), page.url()).searchParams.get("address");
      if (hand.name === "by mouse") {
        await cell.click();
      } else {
        const first = page.locator("[data-map] .cell").first();
        await hand.reach(first);
        await page.keyboard.press("ArrowRight");
        await expect(first).not.toBeFocused();
        await cell.focus();
        await page.keyboard.press("Enter");
      }
      await expect(page.getByLabel("Addresses")).toHaveValue(address);
    });

    test("a record is added and taken back", async ({ page }) => {
      await hand.place("Zones");
      await hand.press(page.getByRole("link", { name: "uni.example", exact: true }));
      await hand.press(page.getByRole("link", { name: "Add a record" }));
      await hand.type(page.getByLabel("Name", { exact: true }), mine("browser-text-#"));
      await hand.choose(page.getByLabel("Type"), "TXT");
      await hand.type(page.getByLabel("Data"), '"seen by a browser"');
      await previewAndSave(page, hand, "Add it");
      await hand.press(page.getByRole("link", { name: "Take it back …" }));
      await expect(page.locator("#effects .what").first()).toContainText(mine("browser-text-#"));
      await expect(page.locator("#effects del").first()).toContainText("seen by a browser");
      await hand.press(page.getByRole("button", { name: "Take it back" }));
      await expect(page.locator("#effects")).toHaveCount(0);
      await page.goto(mine("/zones/uni.example?name=browser-text-#"));
      await expect(page.locator("main")).not.toContainText("seen by a browser");
    });

    test("a pool is added to a subnet", async ({ page }) => {
      await page.goto("/subnets/10.1.4.0/22");
      await hand.press(page.getByRole("link", { name: "Add a pool" }));
      await hand.type(page.getByLabel("First address"), mine("10.1.7.1#0"));
      await hand.type(page.getByLabel("Last address"), mine("10.1.7.1#9"));
      await hand.choose(page.getByLabel("What it is for"), "static");
      await hand.press(page.getByRole("button", { name: "Preview" }).last());
      await hand.press(page.locator("#effects button"));
      await expect(page.locator("[data-follow]")).toBeVisible();
      await expect(page.getByText(mine("10.1.7.1#0 – 10.1.7.1#9"))).toBeVisible();
    });

    test("a NAS is added, and says what to paste there", async ({ page }) => {
      await hand.place("Network access");
      await hand.press(page.getByRole("link", { name: "Add a NAS" }));
      await hand.type(page.getByLabel("Name", { exact: true }), mine("switch-#"));
      await hand.type(page.getByLabel("From where it asks"), mine("10.1.4.24#/32"));
      await hand.press(page.getByRole("button", { name: "Preview" }).last());
      await hand.press(page.getByRole("button", { name: "Add it" }));
      await expect(page.getByRole("heading", { name: "What to paste there" })).toBeVisible();
      await hand.press(page.getByRole("button", { name: "Show it with the secret" }));
      await expect(page.locator("pre")).toContainText(/[0-9a-f]{32}/);
    });

    test("what happened is found in the time line", async ({ page }) => {
      await hand.place("Changes");
      await hand.press(page.locator('main a[href^="/changes/"]').first());
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await page.goBack();
      await expect(page).toHaveURL(/\/changes$/);
    });

    test("a host is deleted", async ({ page }) => {
      await page.goto(mine("/hosts/browser-#.uni.example"));
      await hand.press(page.getByRole("link", { name: "Delete", exact: true }));
      await hand.press(page.getByRole("button", { name: "Delete it" }));
      await expect(page).toHaveURL(/\/hosts\?gone=/);
      await page.goto(mine("/find?search=browser-#.uni.example"));
      await expect(page.getByRole("heading", { level: 1 })).not.toHaveText(mine("browser-#.uni.example"));
    });
  });
}

test("a cable is pulled, and the page tells of it without moving under the reader", async ({ page }) => {
  test.skip(!process.env.HOLDFAST_PULL, "there is no cable to pull");
  test.slow();
  await page.addInitScript(() => {
    globalThis.shifted = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => { globalThis.shifted += entry.value; })).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto("/hosts");
  const chip = page.getByRole("list", { name: "Campuses" }).getByRole("link").filter({ hasText: "north" });
  await expect(chip).toContainText("live");
  await page.evaluate(() => { globalThis.shifted = 0; });
  run(process.env.HOLDFAST_PULL);
  try {
    await expect(chip).toContainText("cut off", { timeout: 60_000 });
  } finally {
    run(process.env.HOLDFAST_PLUG);
  }
  await expect(chip).toContainText("live", { timeout: 60_000 });
  expect(await page.evaluate(() => globalThis.shifted)).toBe(0);
});
