// One log-in for all tests: as many as they are would be taken for somebody who guesses passwords.
import { chromium } from "@playwright/test";

export default async function logIn(config) {
  const { baseURL, launchOptions } = config.projects[0].use;
  const browser = await chromium.launch(launchOptions);
  const page = await browser.newPage({ baseURL });
  await page.goto("/login");
  await page.getByLabel("Name").fill(process.env.HOLDFAST_NAME);
  await page.getByLabel("Password").fill(process.env.HOLDFAST_PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { level: 1 }).waitFor();
  if (page.url().includes("/login")) throw new Error(`the log-in was refused: ${await page.locator("main").innerText()}`);
  await page.context().storageState({ path: "output/session.json" });
  await browser.close();
}
