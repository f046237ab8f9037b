// A browser in front of a real master and two agents. The lab starts both and says where they are; see tests/it/browser.rs.
import { defineConfig } from "@playwright/test";

const isRoot = process.getuid() === 0;

export default defineConfig({
  testDir: ".",
  outputDir: "output/traces",
  globalSetup: "./log-in.js",
  // They share one institution, and what one of them does stands in the other's history.
  workers: 1,
  forbidOnly: true,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  reporter: [["list"]],
  use: {
    baseURL: process.env.HOLDFAST_URL,
    storageState: "output/session.json",
    // Debian's, so that nothing is downloaded but these tests. The sandbox wants another user than root.
    launchOptions: { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: isRoot ? ["--no-sandbox"] : [] },
    screenshot: "only-on-failure",
  },
});
