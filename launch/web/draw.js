// The drawing pad, the network's answer while one draws, and the test set that grows from it.
import { $, ask, bytesOf, make, notice, percent, showGrey, speak, thousands } from "./common.js";

const SENT = 112; // pixels of a side of what is sent
const PAUSE = 650; // ms after the last change before a screen reader is told

let strokes = []; // [{width, points: [[x, y, pressure], ...]}], in shares of the pad
let open = null; // the stroke that is being drawn
let pen = { x: 0.5, y: 0.5, isDown: false, isShown: false }; // of the keyboard
let answer = null; // the last one, of what is drawn now
let changes = 0; // counts what was drawn, to tell an answer that is late
let isAsking = false;
let isLabelling = false; // a digit is on its way into the set
let pause = 0, penPause = 0;
let draws = true;
let newer = async () => ({ draws }); // asks what is served now
let network = "";

const pad = () => $("pad");
const penWidth = () => Number($("pen").value) / 100;

// --- drawing ---

function paint(context, side, colour) {
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = context.fillStyle = colour;
  for (const { width, points } of strokes) {
    const at = (i) => [points[i][0] * side, points[i][1] * side];
    const thick = (i) => width * side * points[i][2];
    context.beginPath();
    context.arc(...at(0), thick(0) / 2, 0, 2 * Math.PI);
    context.fill();
    for (let i = 1; i < points.length; i++) { // pieces of their own: the pressure changes
      const [x0, y0] = at(i - 1), [x1, y1] = at(i);
      context.lineWidth = (thick(i - 1) + thick(i)) / 2;
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
    }
  }
}

function paintPad() {
  const canvas = pad(), style = getComputedStyle(document.documentElement);
  const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, side, side);
  paint(context, side, style.getPropertyValue("--pen"));
  if (pen.isShown) {
    context.beginPath();
    context.arc(pen.x * side, pen.y * side, Math.max(6, penWidth() * side / 2), 0, 2 * Math.PI);
    context.lineWidth = 2 * devicePixelRatio;
    context.strokeStyle = style.getPropertyValue("--accent");
    context.stroke();
    if (pen.isDown) {
      context.globalAlpha = 0.35;
      context.fillStyle = style.getPropertyValue("--accent");
      context.fill();
      context.globalAlpha = 1;
    }
  }
  $("hint").classList.toggle("gone", strokes.length > 0 || pen.isShown);
}

// Dark ink on white, one byte a pixel.
function pixels() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SENT;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, SENT, SENT);
  paint(context, SENT, "#000");
  const rgba = context.getImageData(0, 0, SENT, SENT).data;
  return Uint8Array.from({ length: SENT * SENT }, (_, i) => rgba[4 * i]);
}

const sized = (path) => `${path}?width=${SENT}&height=${SENT}`;

function changed() {
  changes++;
  paintPad();
  clearTimeout(pause);
  if (strokes.length === 0) {
    showNothing();
    return;
  }
  predict();
  pause = setTimeout(rest, PAUSE);
}

// Nothing was drawn for a moment: tell it, and look inside.
function rest() {
  if (answer && !open) speak($("sentence").textContent + " " + $("aside").textContent);
  if (!open) look();
}

// --- pointer and keys ---

function place(event) {
  const box = pad().getBoundingClientRect();
  const pressure = event.pointerType === "pen" && event.pressure > 0 ? 0.4 + 1.2 * event.pressure : 1;
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, pressure];
}

function openPointer() {
  const canvas = pad();
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || open) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    pen.isShown = pen.isDown = false;
    open = { width: penWidth(), points: [place(event)], id: event.pointerId };
    strokes.push(open);
    changed();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!open || open.id !== event.pointerId) return;
    const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const one of all.length ? all : [event]) open.points.push(place(one));
    changed();
  });
  const lift = (event) => {
    if (!open || open.id !== event.pointerId) return;
    open = null;
    changed();
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
}

function liftKeys() {
  if (pen.isDown) open = null;
  pen.isDown = false;
}

function tellPlace() {
  speak(`Row ${Math.round(100 * pen.y)}, column ${Math.round(100 * pen.x)} of 100`);
}

function movePen(dx, dy) {
  pen.x = Math.min(1, Math.max(0, pen.x + dx));
  pen.y = Math.min(1, Math.max(0, pen.y + dy));
  pen.isShown = true;
  clearTimeout(penPause);
  penPause = setTimeout(tellPlace, PAUSE);
  if (!pen.isDown) {
    paintPad();
    return;
  }
  open.points.push([pen.x, pen.y, 1]);
  changed();
}

function togglePen() {
  clearTimeout(penPause);
  if (pen.isDown) {
    liftKeys();
    speak("Pen up");
    changed();
    return;
  }
  pen.isDown = pen.isShown = true;
  open = { width: penWidth(), points: [[pen.x, pen.y, 1]], id: "keys" };
  strokes.push(open);
  speak("Pen down");
  changed();
}

function clear() {
  liftKeys();
  open = null;
  strokes = [];
  changed();
}

function undoStroke() {
  liftKeys();
  open = null;
  strokes.pop();
  changed();
}

// Single keys count on the pad and the labels only: elsewhere they may be a screen reader's, or a slip.
function pressKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.toLowerCase();
  if (key === "z" || key === "backspace") undoStroke();
  else if (key === "c" || key === "delete") clear();
  else if (/^[0-9]$/.test(key)) label(Number(key));
  else return;
  event.preventDefault();
}

function openKeys() {
  pad().addEventListener("keydown", (event) => {
    const by = event.shiftKey ? 0.01 : 0.04;
    const move = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
    if (move) movePen(...move);
    else if (event.key === " ") togglePen();
    else return;
    event.preventDefault();
  });
  pad().addEventListener("blur", () => {
    liftKeys();
    clearTimeout(penPause);
    pen.isShown = false;
    paintPad();
  });
  for (const part of [pad(), $("ask")]) part.addEventListener("keydown", pressKey);
  addEventListener("keydown", (event) => { // Ctrl-Z from anywhere: no single character
    if ($("draw").hidden || !event.ctrlKey || event.altKey || event.metaKey || event.key.toLowerCase() !== "z") return;
    undoStroke();
    event.preventDefault();
  });
}

// --- the answer ---

// One request at a time; what was drawn meanwhile is sent when it is back.
async function predict() {
  if (isAsking) return;
  isAsking = true;
  try {
    if (!draws) await renew(await newer());
    for (let sent = -1; draws && sent !== changes && strokes.length > 0;) {
      sent = changes;
      const got = await ask(sized("api/predict"), pixels());
      notice("");
      if (strokes.length > 0) showAnswer(got);
    }
  } catch (error) {
    notice(error.message);
  }
  isAsking = false;
}

// The focus does not stay in a part that is about to go.
function leave(part) {
  if (part.contains(document.activeElement)) pad().focus();
}

// Where an answer says that there is ink, and one at a time.
function offerLabels() {
  const isOff = isLabelling || !answer?.has_ink;
  if (isOff) leave($("ask"));
  $("ask").disabled = isOff;
}

function showNothing() {
  answer = null;
  offerLabels();
  $("digit").textContent = "–";
  $("digit").classList.add("unsure");
  $("sentence").textContent = draws ? "Nothing is drawn yet." : "No answers yet.";
  $("aside").textContent = "";
  showGrey($("seen"), new Uint8Array(28 * 28), 28, 28);
  for (const row of $("bars").children) showBar(row, 0, false);
  for (const button of $("labels").children) button.classList.remove("said");
  $("layers").replaceChildren(make("p", { class: "aside" }, "Draw a digit to see it."));
}

function showBar(row, p, isTop) {
  row.classList.toggle("top", isTop);
  row.querySelector(".fill").style.width = `${(100 * p).toFixed(2)}%`;
  row.querySelector(".share").textContent = p === 0 ? "" : p < 0.0005 ? "< 0.1\u00a0%" : percent(100 * p);
}

function showAnswer(got) {
  answer = got;
  offerLabels();
  $("digit").textContent = got.is_digit ? got.digit : "?";
  $("digit").classList.toggle("unsure", !got.is_digit || got.probability < 0.6);
  $("sentence").textContent = got.is_digit ? `It is a ${got.digit}, at ${percent(100 * got.probability)}.` : "That is no digit to the network.";
  $("aside").textContent = got.is_digit ? `Next comes ${got.second}, at ${percent(100 * got.second_probability)}. Answered in ${got.ms.toFixed(2)} ms.`
    : `${got.why}. The nearest would be ${got.digit}.`;
  showGrey($("seen"), bytesOf(got.picture), 28, 28);
  [...$("bars").children].forEach((row, c) => showBar(row, got.probabilities[c] ?? 0, c === got.digit));
  [...$("labels").children].forEach((button, c) => button.classList.toggle("said", c === got.digit));
}

// --- was it right? ---

// The pad is free at once for the next one; if this one cannot be added, it comes back.
async function label(digit) {
  if ($("ask").disabled) return;
  const body = pixels(), sent = strokes, before = answer;
  isLabelling = true;
  clear();
  try {
    const set = await ask(`${sized("api/set/add")}&label=${digit}`, body), { said } = set.recent[0];
    const sentence = said === digit ? `Added as ${digit}: the network was right.` : `Added as ${digit}: the network said ${said}.`;
    showSet(set);
    $("done").textContent = `${sentence} ${set.n === 1 ? "That is your first digit." : `Your set has ${thousands(set.n)}.`}`;
    $("done").classList.toggle("wrong", said !== digit);
    speak($("done").textContent);
  } catch (error) {
    strokes = [...sent, ...strokes];
    changes++;
    paintPad();
    if (strokes.length > sent.length) await predict();
    else showAnswer(before);
    notice(error.message);
  }
  isLabelling = false;
  offerLabels();
}

async function undoDigit() {
  try {
    showSet(await ask("api/set/undo", ""));
    $("done").textContent = "The last digit was taken back.";
    $("done").classList.remove("wrong");
    speak($("done").textContent);
  } catch (error) {
    notice(error.message);
  }
}

function showConfusion(confusion) {
  const head = make("tr", {}, make("th", { class: "axis", scope: "col" }, "drawn \\ said"));
  for (let c = 0; c < 10; c++) head.append(make("th", { scope: "col" }, String(c)));
  const rows = confusion.map((counts, t) => {
    const row = make("tr", {}, make("th", { class: "axis", scope: "row" }, String(t)));
    counts.forEach((n, p) => row.append(make("td", { class: n === 0 ? "none" : p === t ? "right" : "wrong" }, String(n))));
    return row;
  });
  $("confusion").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}

function showRecent(recent) {
  $("recent").replaceChildren(...recent.map(({ label: drawn, said, picture }) => {
    const isRight = said === undefined || said === drawn;
    const words = isRight ? `${drawn}` : `${drawn}, said ${said}`;
    const canvas = make("canvas", { role: "img", "aria-label": `a drawn ${words}` });
    showGrey(canvas, bytesOf(picture), 28, 28);
    return make("li", isRight ? {} : { class: "wrong" }, canvas, words);
  }));
}

// A word for a shell.
const quoted = (word) => (/^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function showSet(set) {
  const isEmpty = set.n === 0, total = set.confusion ? set.confusion.flat().reduce((a, b) => a + b, 0) : 0;
  if (isEmpty) leave($("set-body"));
  $("set-body").hidden = isEmpty;
  $("set-summary").textContent = isEmpty ? "It is empty: say above what you drew, and the digit is kept here." : `${thousands(set.n)} in ${set.dir}`;
  if (isEmpty) return;
  $("set-accuracy").textContent = set.confusion ? percent(100 * set.correct / set.n) : "–";
  $("set-counts").textContent = set.confusion ? `${thousands(set.correct)} of ${thousands(set.n)} right` : "No network to ask yet.";
  $("set-command").textContent = `dtrain eval ${quoted(network || "CHECKPOINT")} \\\n  --data ${quoted(set.dir)}`;
  if (total) showConfusion(set.confusion);
  showRecent(set.recent);
}

// --- inside ---

// Positive values in one colour, negative in another, 0 in the page's.
function colours() {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const middle = isDark ? [28, 32, 37] : [244, 245, 246], up = isDark ? [120, 205, 255] : [0, 84, 140], down = isDark ? [255, 160, 90] : [186, 70, 10];
  return Array.from({ length: 256 }, (_, v) => {
    const t = (v - 128) / 127, end = t < 0 ? down : up, share = Math.min(1, Math.abs(t)) ** 0.7;
    return middle.map((m, i) => Math.round(m + (end[i] - m) * share));
  });
}

// Maps of [height][width] side by side, with a gap, each pixel zoom screen pixels wide.
function showMaps(canvas, values, channels, height, width, columns, table, zoom = Math.max(1, Math.round(56 / Math.max(height, width, 7)))) {
  const gap = 4;
  const rows = Math.ceil(channels / columns);
  canvas.width = columns * (width * zoom + gap) - gap;
  canvas.height = rows * (height * zoom + gap) - gap;
  const context = canvas.getContext("2d");
  for (let c = 0; c < channels; c++) {
    const left = (c % columns) * (width * zoom + gap), top = Math.floor(c / columns) * (height * zoom + gap);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        context.fillStyle = `rgb(${table[values[(c * height + y) * width + x]].join(" ")})`;
        context.fillRect(left + x * zoom, top + y * zoom, zoom, zoom);
      }
  }
}

function layerRow(name, words, values, channels, height, width, table) {
  const canvas = make("canvas", { class: "maps", role: "img", "aria-label": `${name}: ${words}` });
  const isFlat = height * width === 1;
  if (isFlat) showMaps(canvas, values, channels, 1, 1, Math.min(channels, 64), table, channels > 32 ? 10 : 24);
  else showMaps(canvas, values, channels, height, width, Math.min(channels, innerWidth < 600 ? 8 : 16), table);
  return make("div", {}, make("p", { class: "layer-head" }, make("b", {}, name), make("span", {}, words)), canvas);
}

function describe({ channels, height, width }) {
  return height * width === 1 ? `${channels} numbers` : `${channels} maps of ${height} × ${width}`;
}

function showLayers(got) {
  const table = colours(), parts = [];
  const scale = make("canvas", { width: 255, height: 1, "aria-hidden": "true" });
  showMaps(scale, Uint8Array.from({ length: 255 }, (_, i) => i + 1), 1, 1, 255, 1, table, 1);
  const picture = make("canvas", { class: "maps", role: "img", "aria-label": `the pixels that speak for ${got.digit} and against it` });
  if (got.saliency.values) showMaps(picture, bytesOf(got.saliency.values), 1, 28, 28, 1, table, 6);
  parts.push(make("p", { class: "scale" }, "negative", scale, "positive; each layer to its own largest value"));
  parts.push(make("div", {}, make("p", { class: "layer-head" }, make("b", {}, "saliency"),
    make("span", {}, `more ink there speaks for ${got.digit}, or against it`)), picture));
  if (got.filters)
    parts.push(layerRow("filters", `${got.filters.channels} of ${got.filters.height} × ${got.filters.width}, that the drawing meets before all else`,
      bytesOf(got.filters.values), got.filters.channels, got.filters.height, got.filters.width, table));
  for (const layer of got.layers)
    parts.push(layerRow(layer.name, describe(layer), bytesOf(layer.values), layer.channels, layer.height, layer.width, table));
  $("layers").replaceChildren(...parts);
}

async function look() {
  if (!$("inside").open || !draws || strokes.length === 0) return;
  const sent = changes;
  try {
    const got = await ask(sized("api/features"), pixels());
    if (sent === changes) showLayers(got);
  } catch (error) {
    notice(error.message);
  }
}

// --- start ---

function makeRows() {
  for (let c = 0; c < 10; c++) {
    const fill = make("div", { class: "fill" });
    $("bars").append(make("li", {}, make("span", {}, String(c)), make("div", { class: "track" }, fill), make("span", { class: "share" }, "")));
    const button = make("button", { type: "button", "aria-label": `It was a ${c}`, "aria-keyshortcuts": String(c) }, String(c));
    button.addEventListener("click", () => label(c));
    $("labels").append(button);
  }
}

export async function openDraw(about, askNewer) {
  draws = about.draws;
  newer = askNewer;
  network = about.network ? about.network.path : "";
  makeRows();
  showNothing();
  openPointer();
  openKeys();
  $("clear").addEventListener("click", clear);
  $("undo-stroke").addEventListener("click", undoStroke);
  $("undo-digit").addEventListener("click", undoDigit);
  $("inside").addEventListener("toggle", look);
  new ResizeObserver(paintPad).observe(pad());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { paintPad(); look(); });
  if (!draws) notice(`Drawings get no answer yet: ${about.why_not}.`);
  try {
    showSet(await ask("api/set"));
  } catch (error) {
    notice(error.message);
  }
}

// A network is there now, or a newer one.
export async function renew(about) {
  const hadNone = !draws;
  draws = about.draws;
  network = about.network ? about.network.path : "";
  if (draws && hadNone) {
    notice("");
    if (strokes.length === 0) showNothing();
  }
  if (draws && strokes.length > 0) predict();
  showSet(await ask("api/set"));
}
