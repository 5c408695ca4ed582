// page.mjs URL STROKES.json OUT: what a person does on the page of `dtrain serve`, in Chromium. The page at URL serves a run
// with a network that knows the digits of STROKES.json, and an empty set. Downloads go to OUT/set; with OUT/shots there,
// pictures of the screen go to it. With a fourth argument URL serves a run that is about to train: "watch" looks at its view,
// "once" draws with the network of its only epoch.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.PLAYWRIGHT}/`)("playwright-core");
const [url, strokesFile, out, watch] = process.argv.slice(2);
const strokes = JSON.parse(readFileSync(strokesFile));
let passed = 0, failed = 0;

function check(what, good, told = "") {
  if (good) passed++;
  else {
    failed++;
    console.error(`FAILED: ${what}${told === "" ? "" : `: ${told}`}`);
  }
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });

async function open(options, hash = "") {
  const context = await browser.newContext({ acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  page.on("console", (message) => check(`console: ${message.text()}`, !["error", "warning"].includes(message.type()), message.location().url));
  page.on("pageerror", (error) => check("page error", false, error.message));
  page.on("requestfailed", (request) => check("request", request.failure()?.errorText === "net::ERR_ABORTED", request.url()));
  await page.goto(url + hash);
  return page;
}

async function shot(page, name) {
  if (existsSync(`${out}/shots`)) await page.screenshot({ path: `${out}/shots/${name}.png`, fullPage: true });
}

const text = (page, selector) => page.locator(selector).textContent();

async function until(page, what, ask, ...args) {
  try {
    await page.waitForFunction(ask, ...args);
    check(what, true);
  } catch {
    check(what, false, await page.evaluate(() => [...document.querySelectorAll("#digit, #sentence, #aside, #done, #notice, #state")].map((e) => e.textContent).join(" | ")));
  }
}

const says = (page, digit) => until(page, `the pad shows a ${digit}`, (d) => document.getElementById("digit").textContent === String(d), digit);

async function drawByMouse(page, digit) {
  const box = await page.locator("#pad").boundingBox();
  for (const line of strokes[digit]) {
    const at = line.map(([x, y]) => [box.x + x * box.width, box.y + y * box.height]);
    await page.mouse.move(...at[0]);
    await page.mouse.down();
    for (const point of at.slice(1)) await page.mouse.move(...point, { steps: 2 });
    await page.mouse.up();
  }
}

async function drawByTouch(page, digit) {
  const box = await page.locator("#pad").boundingBox(), session = await page.context().newCDPSession(page);
  const send = (type, points) => session.send("Input.dispatchTouchEvent", { type, touchPoints: points });
  for (const line of strokes[digit]) {
    const at = line.map(([x, y]) => ({ x: box.x + x * box.width, y: box.y + y * box.height }));
    await send("touchStart", [at[0]]);
    for (const point of at.slice(1)) await send("touchMove", [point]);
    await send("touchEnd", []);
  }
}

// Every control has a name, and nothing is wider than the window.
async function isUsable(page, what) {
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a, input, canvas, [tabindex], [role=img], progress, summary")]
    .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.textContent.trim() || e.getAttribute("aria-hidden") || e.labels?.length))
    .map((e) => e.outerHTML.slice(0, 80)));
  check(`${what}: controls have names`, nameless.length === 0, nameless.join(" "));
  const [wide, width] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(`${what}: fits the window`, wide <= width, `${wide} of ${width}`);
}

const counts = (page) => page.evaluate(async () => (await (await fetch("api/set")).json()).n);
const isOff = (page) => page.evaluate(() => document.getElementById("ask").disabled); // labels
const isOnPad = (page) => page.evaluate(() => document.activeElement.id === "pad");

// A label on its way: what is drawn meanwhile stays, a second press adds nothing; a label that is refused loses nothing.
async function testLate() {
  const page = await open({ viewport: { width: 1280, height: 900 } });
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route("**/api/set/add*", async (route) => { await held; await route.continue(); });
  await drawByMouse(page, 7);
  await says(page, 7);
  await page.keyboard.press("7");
  await drawByMouse(page, 1);
  await says(page, 1);
  check("no label before the last one is there", await isOff(page));
  await page.keyboard.press("7");
  release();
  await until(page, "it is added", () => document.getElementById("done").textContent.startsWith("Added as 7: the network was right."));
  await until(page, "now the next can be", () => !document.getElementById("ask").disabled);
  check("what was drawn meanwhile is there", (await text(page, "#digit")) === "1", await text(page, "#digit"));
  check("once", (await counts(page)) === 1, await counts(page));
  await page.unroute("**/api/set/add*");
  page.removeAllListeners("console"); // Chromium writes of a refusal
  await page.route("**/api/set/add*", (route) => route.fulfill({ status: 409, contentType: "application/json", body: '{"error":"the disk is full"}' }));
  await page.keyboard.press("1");
  await until(page, "a refusal is told", () => document.getElementById("notice").textContent === "the disk is full");
  check("and the drawing is there", (await text(page, "#digit")) === "1" && !(await isOff(page)));
  await page.locator("#undo-digit").click();
  await until(page, "it is taken back", () => document.getElementById("set-summary").textContent.startsWith("It is empty"));
  await page.context().close();
}

// Letters and digits are keys of the pad and the labels alone; the focus is never lost; a pen that one cannot see is told.
async function testFocus() {
  const page = await open({ viewport: { width: 1280, height: 900 } });
  await drawByMouse(page, 7);
  await says(page, 7);
  await page.locator("#labels button:nth-child(8)").focus();
  await page.keyboard.press("Enter");
  await until(page, "7 is added", () => document.getElementById("done").textContent.startsWith("Added as 7"));
  check("the focus goes to the pad after a label", await isOnPad(page));
  await drawByMouse(page, 7);
  await says(page, 7);
  await page.locator('a[href="t10k-images-idx3-ubyte"]').focus();
  for (const key of ["7", "z", "c", "Backspace", "Delete"]) await page.keyboard.press(key);
  check("keys elsewhere change nothing", (await counts(page)) === 1 && (await text(page, "#digit")) === "7", `${await counts(page)}, ${await text(page, "#digit")}`);
  await page.locator("#labels button:nth-child(2)").focus();
  await page.keyboard.press("c");
  check("the focus goes to the pad when there is nothing to label", (await isOnPad(page)) && (await isOff(page)));
  await page.locator("#undo-digit").focus();
  await page.keyboard.press("Enter");
  await until(page, "the set is empty", () => document.getElementById("set-body").hidden);
  check("the focus goes to the pad after the last one", await isOnPad(page));
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowLeft");
  await until(page, "the pen's place is told", () => document.getElementById("spoken").textContent === "Row 46, column 46 of 100");
  await page.context().close();
}

async function testDraw() {
  const page = await open({ viewport: { width: 1280, height: 900 } });
  await until(page, "an empty set", () => document.getElementById("set-summary").textContent.startsWith("It is empty"));
  await isUsable(page, "desktop");
  for (let digit = 0; digit < 10; digit++) {
    await drawByMouse(page, digit);
    await says(page, digit);
    if (digit === 4) await shot(page, "draw");
    if (digit % 2) await page.keyboard.press(String(digit));
    else await page.locator(`#labels button:nth-child(${digit + 1})`).click();
    await until(page, `${digit} is added`, (d) => document.getElementById("done").textContent.startsWith(`Added as ${d}: the network was right.`), digit);
    check("the pad is empty again", (await text(page, "#sentence")) === "Nothing is drawn yet.");
  }
  check("accuracy", (await text(page, "#set-accuracy")) === "100.0\u00a0%" && (await text(page, "#set-counts")) === "10 of 10 right", await text(page, "#set-counts"));
  check("confusion", (await page.locator("#confusion td.right").allTextContents()).join("") === "1111111111" && (await page.locator("#confusion td.wrong").count()) === 0);
  check("the last ones", (await page.locator("#recent li").allTextContents()).join("") === "9876543210");

  await drawByMouse(page, 7); // said to be a 1
  await says(page, 7);
  await page.locator("#inside summary").click();
  await until(page, "the layers are shown", () => document.querySelectorAll("#layers canvas").length >= 9);
  check("saliency", (await text(page, "#layers")).includes("more ink there speaks for 7"));
  await shot(page, "inside");
  await page.locator("#pad").focus();
  await page.keyboard.press("1");
  await until(page, "what was wrong is told", () => document.getElementById("done").textContent.startsWith("Added as 1: the network said 7."));
  check("accuracy falls", (await text(page, "#set-accuracy")) === "90.9\u00a0%", await text(page, "#set-accuracy"));
  await shot(page, "set");
  await page.locator("#undo-digit").click();
  await until(page, "it is taken back", () => document.getElementById("set-counts").textContent === "10 of 10 right");

  for (const name of ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(`a[href="${name}"]`).click()]);
    check(`${name} is saved under its name`, download.suggestedFilename() === name, download.suggestedFilename());
    await download.saveAs(`${out}/set/${name}`);
  }
  await page.reload();
  await until(page, "the set is there after a reload", () => document.getElementById("set-counts").textContent === "10 of 10 right");
  await page.context().close();
}

async function testKeys() {
  const page = await open({ viewport: { width: 900, height: 800 } });
  await page.locator("#pad").focus();
  for (let i = 0; i < 8; i++) await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Space");
  for (let i = 0; i < 16; i++) await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Space");
  await says(page, 1);
  await until(page, "a screen reader is told", () => document.getElementById("spoken").textContent.startsWith("It is a 1"));
  await page.keyboard.press("z");
  check("a stroke is taken back", (await text(page, "#sentence")) === "Nothing is drawn yet.");
  await page.locator("#tab-draw").focus();
  await page.keyboard.press("ArrowRight");
  check("arrows choose the view", (await page.locator("#run").isVisible()) && !(await page.locator("#draw").isVisible()));
  await until(page, "a run that is done", () => document.getElementById("state").textContent === "Finished");
  check("its curves are there", (await page.locator("#plot-accuracy path.curve").count()) === 2 && (await page.locator("#plot-ranks path.curve").count()) === 1);
  await isUsable(page, "the run");
  await page.context().close();
}

async function testPhone() {
  const page = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true, colorScheme: "dark" });
  await page.locator("#pad").scrollIntoViewIfNeeded();
  await drawByTouch(page, 3);
  await says(page, 3);
  await until(page, "the answer is at rest", () => document.getElementById("spoken").textContent.startsWith("It is a 3")); // no line moves now
  await page.locator("#inside summary").tap();
  await until(page, "the layers are shown", () => document.querySelectorAll("#layers canvas").length >= 9);
  await isUsable(page, "phone");
  await shot(page, "phone");
  const small = await page.evaluate(() => [...document.querySelectorAll("#draw button, a.button, [role=tab]")].filter((e) => e.offsetHeight > 0 && e.offsetHeight < 36).map((e) => e.textContent));
  check("targets for a finger", small.length === 0, small.join(", "));
  const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number).reduce((a, b) => a + b));
  check("dark", light < 3 * 60, light);
  await page.locator("#tab-run").tap();
  await until(page, "the run", () => document.querySelectorAll("#plot-loss path.curve").length === 2);
  await isUsable(page, "the run on a phone");
  await shot(page, "phone-run");
  await page.context().close();
}

// From nothing to the end: whoever reads the output begins the run at "ready" and stops it at "seen".
async function testWatch() {
  const page = await open({ viewport: { width: 1280, height: 900 } });
  await until(page, "no run yet", () => document.getElementById("state").textContent === "No run has begun here yet");
  console.log("ready");
  await until(page, "it trains", () => document.getElementById("state").textContent === "Training");
  await until(page, "curves begin", () => document.querySelectorAll("#plot-loss path.curve").length > 0 && document.getElementById("progress").value > 0);
  const before = await page.evaluate(() => [document.getElementById("progress").value, document.querySelector("#plot-loss path.curve").getAttribute("d").length]);
  await until(page, "and grow", ([value, length]) => document.getElementById("progress").value > value
    && document.querySelector("#plot-loss path.curve").getAttribute("d").length > length, before);
  await shot(page, "training");
  await until(page, "every rank has its curve", () => document.querySelectorAll("#plot-ranks path.curve").length === 2 && document.querySelectorAll(".phase-row").length === 2);
  console.log("seen");
  await until(page, "it stops", () => document.getElementById("state").textContent === "Stopped, everything is saved");
  await until(page, "with the network at work", () => document.getElementById("origin").textContent.includes("parameters"));
  await page.locator("#tab-draw").click();
  await drawByMouse(page, 7);
  await until(page, "and answers", () => /^[0-9?]$/.test(document.getElementById("digit").textContent));
  check("no notice is left", !(await page.locator("#notice").isVisible()), await text(page, "#notice"));
  await page.locator("#tab-run").click();
  await shot(page, "stopped");
  await page.context().close();
}

// The page was there before the run: on the run's tab, and on that of drawings.
async function testOnce() {
  const page = await open({ viewport: { width: 1280, height: 900 } }), other = await open({ viewport: { width: 1280, height: 900 } }, "#draw");
  await until(page, "no run yet", () => document.getElementById("state").textContent === "No run has begun here yet");
  await until(other, "no answers yet", () => document.getElementById("sentence").textContent === "No answers yet.");
  console.log("ready");
  await until(page, "it ends", () => document.getElementById("state").textContent === "Finished");
  await page.locator("#tab-draw").click();
  for (const one of [page, other]) {
    await drawByMouse(one, 7);
    await until(one, "a network of one epoch answers", () => /^[0-9?]$/.test(document.getElementById("digit").textContent));
    check("its name is told", (await text(one, "#origin")).includes("epoch 1"), await text(one, "#origin"));
    check("no notice is left", !(await one.locator("#notice").isVisible()), await text(one, "#notice"));
    await one.context().close();
  }
}

if (watch === "once") await testOnce();
else if (watch) await testWatch();
else {
  await testLate();
  await testFocus();
  await testDraw();
  await testKeys();
  await testPhone();
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
