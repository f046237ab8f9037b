// The same work by mouse and by keyboard alone.
import { expect } from "@playwright/test";

// More places than any page has: who has not come by after so many is not going to.
const PLACES_LIMIT = 400;

class Mouse {
  name = "by mouse";
  constructor(page) { this.page = page; }
  async press(what) { await what.click(); }
  async type(what, text) { await what.fill(text); }
  async choose(what, option) { await what.selectOption(option); }
  async tick(what) { await what.check(); }
  async place(name) { await this.page.getByRole("navigation", { name: "Places" }).getByRole("link", { name, exact: true }).click(); }
}

class Keyboard {
  name = "by keyboard alone";
  constructor(page) { this.page = page; }
  // As somebody comes there who has no mouse: from place to place.
  async reach(what) {
    await expect(what).toBeVisible();
    const isThere = () => what.evaluate((element) => element === document.activeElement);
    for (let places = 0; places < PLACES_LIMIT; places += 1) {
      if (await isThere()) return;
      await this.page.keyboard.press("Tab");
    }
    throw new Error(`the keyboard does not come to ${what}`);
  }
  // A key returns before the page that it leads to has come, unlike a click: what follows would be done on the page before.
  async press(what) {
    await this.reach(what);
    await this.led(() => this.page.keyboard.press("Enter"));
  }
  async led(act) {
    await this.page.evaluate(() => { globalThis.isBefore = true; });
    await act();
    await this.page.waitForFunction(() => !globalThis.isBefore && document.readyState !== "loading");
  }
  async type(what, text) {
    await this.reach(what);
    await this.page.keyboard.press("ControlOrMeta+A");
    await this.page.keyboard.type(text);
  }
  async choose(what, option) {
    await this.reach(what);
    await this.page.keyboard.type(option);
    await expect(what).toHaveValue(option);
  }
  async tick(what) {
    await this.reach(what);
    await this.page.keyboard.press("Space");
    await expect(what).toBeChecked();
  }
  async place(name) {
    const key = await this.page.getByRole("navigation", { name: "Places" }).getByRole("link", { name, exact: true }).getAttribute("data-key");
    await this.page.keyboard.press("g");
    await this.led(() => this.page.keyboard.press(key));
  }
}

export const HANDS = [Mouse, Keyboard];

// What a form would change is looked at, then done, then seen to be served by both campuses.
export async function previewAndSave(page, hand, verb) {
  await hand.press(page.getByRole("button", { name: "Preview" }).last());
  await hand.press(page.getByRole("button", { name: verb, exact: true }));
  await isServed(page);
}

export async function isServed(page) {
  const served = page.locator("[data-follow]");
  await expect(served).toContainText("served by north");
  await expect(served).toContainText("served by south");
}
