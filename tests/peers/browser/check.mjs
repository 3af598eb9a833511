// Opens pages of `apportion report` in headless Chromium and measures them.
//
//   node check.mjs PROGRAM OUT PLACEMENT...
//
// Run where `playwright-core` and `axe-core` are installed. Writes screenshots and a PDF of each page to OUT, prints a
// line per page, and ends with status 1 if anything is not as it should be.

import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.cwd(), "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const [program, out, ...placements] = process.argv.slice(2);
mkdirSync(out, { recursive: true });

const SIZES = [
  { name: "wide", width: 1280, height: 900 },
  { name: "narrow", width: 390, height: 844 },
];
const WIDTHS = [360, 768, 1024, 1600];
const findings = [];

function expect(page, holds, what) {
  if (!holds) {
    findings.push(`${page}: ${what}`);
  }
}

const apportion = (...args) =>
  execFileSync(program, args, { encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "pipe"] });

// The page by HTTP too: what a page may ask of a server it may ask of none.
const files = new Map();
const asked = [];
const server = createServer((request, response) => {
  asked.push(request.url);
  const text = files.get(request.url);
  response.writeHead(text ? 200 : 404, { "content-type": "text/html; charset=utf-8" });
  response.end(text ?? "");
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});
console.log(`Chromium ${browser.version()}, playwright-core ${require("playwright-core/package.json").version}, ` +
  `axe-core ${require("axe-core/package.json").version}`);

async function open(name, url, options) {
  const context = await browser.newContext({ bypassCSP: false, ...options });
  const page = await context.newPage();
  page.on("console", (message) => expect(name, false, `console ${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => expect(name, false, `error: ${error.message}`));
  const requests = [];
  await page.route("**", (route) => {
    requests.push(route.request().url());
    return route.request().url() === url ? route.continue() : route.abort();
  });
  await page.goto(url);
  const others = requests.filter((one) => one !== url && one !== "data:,");
  expect(name, others.length === 0, `asks for ${others.join(", ")}`);
  return { context, page };
}

// What is measured in the page itself.
function measure() {
  const wrong = [];
  const tell = (holds, what) => holds || wrong.push(what);
  const root = document.documentElement;
  tell(root.scrollWidth <= root.clientWidth, `scrolls sideways: ${root.scrollWidth} > ${root.clientWidth}`);
  let bars = 0;
  for (const bar of document.querySelectorAll("svg.bar")) {
    const track = bar.querySelector("[data-capacity]");
    const whole = track.getBoundingClientRect();
    const capacity = Number(track.dataset.capacity);
    let sum = 0;
    for (const part of bar.querySelectorAll("[data-bytes]")) {
      const bytes = Number(part.dataset.bytes);
      const box = part.querySelector("rect").getBoundingClientRect();
      const wanted = (bytes / capacity) * whole.width;
      tell(Math.abs(box.width - wanted) < 1, `${part.dataset.purpose}: ${box.width} px, not ${wanted}`);
      if (part.dataset.purpose !== "staged") {
        tell(Math.abs(box.left - whole.left - (sum / capacity) * whole.width) < 1, `${part.dataset.purpose} begins elsewhere`);
        sum += bytes;
      }
      bars += 1;
    }
    tell(sum === capacity, `parts are ${sum} of ${capacity} bytes`);
  }
  for (const bar of document.querySelectorAll("svg[data-whole]")) {
    const rect = bar.querySelector("[data-millionths]");
    const whole = bar.getBoundingClientRect().width;
    if (rect && whole > 0) {
      const wanted = (Number(rect.dataset.millionths) / Number(bar.dataset.whole)) * whole;
      const found = rect.getBoundingClientRect().width;
      tell(Math.abs(found - wanted) < 1, `peak: ${found} px, not ${wanted}`);
      bars += 1;
    }
  }
  const rows = [...document.querySelectorAll(".map tbody tr")].map((row) =>
    [...row.querySelectorAll("td[data-tip]:not(.sent)")].map((cell) => ({
      columns: cell.colSpan,
      text: cell.textContent,
      colour: getComputedStyle(cell).backgroundColor,
      told: cell.getAttribute("aria-label"),
    })));
  const chips = Object.fromEntries([...document.querySelectorAll("section[aria-labelledby=map] .legend .chip")].map((chip) =>
    [chip.textContent, getComputedStyle(chip).backgroundColor]));
  const sent = [...document.querySelectorAll("td.sent")].map((cell) => Number(cell.dataset.units));
  return { wrong, bars, rows, chips, sent };
}

function sameMap(name, found, json) {
  const letters = new Map(json.devices.map((device) => [device.id, device.letter]));
  expect(name, found.rows.length === json.map.rows.length, `${found.rows.length} rows, not ${json.map.rows.length}`);
  let cells = 0;
  json.map.rows.forEach((row, at) => {
    const drawn = found.rows[at] ?? [];
    expect(name, drawn.length === row.runs.length, `row ${row.row} has ${drawn.length} cells, not ${row.runs.length}`);
    row.runs.forEach((run, index) => {
      const cell = drawn[index];
      if (!cell) return;
      cells += 1;
      const letter = run.device === null ? "*" : letters.get(run.device);
      const device = run.device ?? "every device";
      expect(name, cell.columns === run.columns, `${run.name} has ${cell.columns} columns`);
      expect(name, cell.colour === found.chips[letter], `${run.name} is ${cell.colour}, ${letter} ${found.chips[letter]}`);
      expect(name, cell.text === letter || cell.text === "", `${run.name} says ${cell.text}`);
      expect(name, cell.told.startsWith(`${run.name}: ${letter} = ${device}, `), `${run.name} is told as ${cell.told}`);
    });
  });
  const sent = json.transfers === null ? [] : json.transfers.rows.map((row) => row.units);
  expect(name, JSON.stringify(sent) === JSON.stringify(found.sent), "transfers per layer differ");
  return cells;
}

async function keyboard(name, page) {
  const told = () => page.evaluate(() => ({
    focus: document.activeElement.getAttribute("aria-label"),
    tip: document.getElementById("tip").hidden ? null : document.getElementById("tip").textContent,
    inside: (() => {
      const box = document.getElementById("tip").getBoundingClientRect();
      return box.left >= 0 && box.right <= innerWidth && box.top >= 0 && box.bottom <= innerHeight;
    })(),
    stops: document.querySelectorAll('[data-nav=map] [data-tip][tabindex="0"]').length,
  }));
  for (const nav of ["memory", "map", "load"]) {
    if ((await page.locator(`[data-nav=${nav}] [data-tip]`).count()) === 0) continue;
    await page.locator(`[data-nav=${nav}] [data-tip][tabindex="0"]`).first().focus();
    const seen = [];
    for (const key of ["", "ArrowDown", "ArrowRight", "End", "ArrowDown", "Home", "ArrowUp"]) {
      if (key) await page.keyboard.press(key);
      const now = await told();
      seen.push(now.focus);
      expect(name, now.focus && now.tip === now.focus, `${nav}, ${key}: tooltip ${now.tip}, focus ${now.focus}`);
      expect(name, now.inside, `${nav}, ${key}: tooltip leaves the window`);
      expect(name, now.stops <= 1, `${nav}: ${now.stops} tab stops`);
    }
    expect(name, new Set(seen).size >= (nav === "map" ? 3 : 2), `${nav}: focus does not move: ${seen.join(" | ")}`);
    await page.keyboard.press("Escape");
    expect(name, (await told()).tip === null, `${nav}: Escape leaves the tooltip`);
  }
  // The pointer, over a cell and away.
  const cell = page.locator("[data-nav=map] td[data-tip]").first();
  await cell.hover();
  const hovered = await told();
  expect(name, hovered.tip === (await cell.getAttribute("aria-label")), `the pointer shows ${hovered.tip}`);
  await page.mouse.move(2, 2);
  // From the keyboard alone: Tab reaches the memory, one more the map.
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
}

async function accessible(name, page) {
  // Run through the protocol, which the page's policy does not concern.
  const results = await page.evaluate(`${axe}; axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] })`);
  for (const violation of results.violations) {
    const where = violation.nodes.slice(0, 3).map((node) => `${node.target.join(" ")} (${node.any.map((a) => a.message).join("; ")})`);
    expect(name, false, `axe ${violation.id} (${violation.nodes.length}): ${violation.help}: ${where.join(" | ")}`);
  }
  return results.passes.length;
}

for (const placement of placements) {
  const name = basename(placement).replace(/\.[^.]*$/, "");
  const path = resolve(join(out, `${name}.html`));
  apportion("report", placement, "-o", path);
  apportion("report", placement, "-o", resolve(join(out, `${name}.svg`)));
  const json = JSON.parse(apportion("report", placement, "--json"));
  const text = readFileSync(path, "utf8");
  files.set(`/${name}`, text);
  let bars = 0;
  let cells = 0;
  let passes = 0;
  for (const size of SIZES) {
    for (const colorScheme of ["light", "dark"]) {
      const shot = `${name}-${size.name}-${colorScheme}`;
      const { context, page } = await open(shot, pathToFileURL(path).href, {
        viewport: { width: size.width, height: size.height }, colorScheme });
      const found = await page.evaluate(measure);
      found.wrong.forEach((what) => expect(shot, false, what));
      bars = found.bars;
      cells = sameMap(shot, found, json);
      await keyboard(shot, page);
      passes = await accessible(shot, page);
      await page.screenshot({ path: join(out, `${shot}.png`), fullPage: true });
      await context.close();
    }
  }
  const { context, page } = await open(`${name} by HTTP`, `${origin}/${name}`, { viewport: SIZES[0] });
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    (await page.evaluate(measure)).wrong.forEach((what) => expect(`${name} at ${width}`, false, what));
  }
  const margin = { top: "10mm", right: "10mm", bottom: "10mm", left: "10mm" };
  const pdf = await page.pdf({ preferCSSPageSize: true, printBackground: true, margin });
  writeFileSync(join(out, `${name}.pdf`), pdf);
  const sheets = (pdf.toString("latin1").match(/\/Type\s*\/Page\b(?!s)/g) ?? []).length;
  expect(name, sheets === 1, `prints on ${sheets} pages`);
  await context.close();
  // Without scripts the same words are there, as titles.
  const still = await open(`${name} without scripts`, pathToFileURL(path).href, { javaScriptEnabled: false });
  expect(name, (await still.page.locator(".map td[title]").count()) > 0, "no titles without scripts");
  await still.context.close();
  const picture = await open(`${name}.svg`, pathToFileURL(join(resolve(out), `${name}.svg`)).href, {
    viewport: { width: 1200, height: 1000 } });
  await picture.page.screenshot({ path: join(out, `${name}-svg.png`) });
  await picture.context.close();
  console.log(`${name}: ${text.length} bytes, ${bars} bars, ${cells} cells, axe passes ${passes}, ${sheets} sheet`);
}
expect("server", asked.every((url) => files.has(url)), `asked for ${asked.filter((url) => !files.has(url)).join(", ")}`);
await browser.close();
server.close();
findings.forEach((finding) => console.log(`WRONG ${finding}`));
console.log(findings.length === 0 ? "all as it should be" : `${findings.length} findings`);
process.exit(findings.length === 0 ? 0 : 1);
