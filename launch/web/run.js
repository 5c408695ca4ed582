// A run as it goes: asked for again and again while it is looked at, drawn when something is new.
import { $, ask, make, notice, percent, speak, thousands } from "./common.js";
import { drawPlot } from "./plot.js";
import { renew } from "./draw.js";

const PERIOD = 1000, PERIOD_AT_REST = 4000; // ms

const words = {
  waiting: "No run has begun here yet", running: "Training", finished: "Finished", stopped: "Stopped, everything is saved",
  failed: "Failed", lost: "Ended without a word",
};
const phases = [
  ["compute_seconds", "compute", "c1"], ["reduce_seconds", "sum", "c2"], ["wait_seconds", "wait", "c6"], ["input_seconds", "input", "c3"],
  ["checkpoint_seconds", "save", "c5"],
];

let last = ""; // what is shown
let state = "";
let timer = 0;
let epochs = -1;

const isThere = (v) => v !== null && v !== undefined;
const lastOf = (list) => list.filter(isThere).at(-1);

function clock(seconds) {
  const s = Math.max(0, Math.round(seconds)), parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return parts[0] ? `${parts[0]}:${String(parts[1]).padStart(2, "0")}:${String(parts[2]).padStart(2, "0")}` : `${parts[1]}:${String(parts[2]).padStart(2, "0")}`;
}

// Updates done of all, as far as log and run file tell.
function share(run) {
  const all = run.epochs_planned * run.steps_per_epoch, done = lastOf(run.epochs.epoch) ?? 0;
  if (run.state === "finished" || !all) return run.state === "finished" ? 1 : 0;
  return Math.min(1, Math.max(done * run.steps_per_epoch, run.step ?? 0) / all);
}

function showFigures(run) {
  const e = run.epochs, done = lastOf(e.epoch), speed = lastOf(run.state === "running" ? run.steps.images_per_second : []) ?? lastOf(e.images_per_second);
  const figures = [];
  if (isThere(done)) figures.push(["epoch", run.epochs_planned ? `${done} of ${run.epochs_planned}` : `${done}`]);
  if (isThere(lastOf(e.test_accuracy))) figures.push(["test accuracy", percent(lastOf(e.test_accuracy), 2)]);
  if (isThere(lastOf(e.validation_accuracy))) figures.push(["validation accuracy", percent(lastOf(e.validation_accuracy), 2)]);
  if (isThere(lastOf(e.test_loss))) figures.push(["test loss", lastOf(e.test_loss).toFixed(4)]);
  if (speed > 0) figures.push(["images a second", thousands(speed)]);
  if (run.ranks) figures.push(["ranks × threads", run.threads ? `${run.ranks} × ${run.threads}` : `${run.ranks}`]);
  if (run.begun && run.time) figures.push(["time", clock(run.time - run.begun)]);
  const part = share(run);
  if (run.state === "running" && part > 0.02 && run.begun) figures.push(["still", clock((run.time - run.begun) * (1 / part - 1))]);
  $("run-figures").replaceChildren(...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function showPlots(run) {
  const e = run.epochs, s = run.steps, per = run.steps_per_epoch || 1;
  const x = s.step.map((v) => v / per);
  const drop = (list, from) => list.map((v, i) => (e.epoch[i] < from ? null : v)); // row 0 is the untrained network
  drawPlot($("plot-accuracy"), {
    title: "Accuracy", axis: "epochs", format: (v) => percent(v, 2), tick: (v) => `${+v.toFixed(2)} %`, most: 100.5,
    series: [
      { name: "training", colour: "c1", x, y: s.accuracy, isFaint: false },
      { name: "test", colour: "c2", x: e.epoch, y: drop(e.test_accuracy, e.epoch.length > 1 ? 1 : 0) },
      ...(e.validation_accuracy.some(isThere) ? [{ name: "validation", colour: "c3", x: e.epoch, y: drop(e.validation_accuracy, 1) }] : []),
    ],
  });
  drawPlot($("plot-loss"), {
    title: "Loss", axis: "epochs", format: (v) => v.toFixed(4), tick: (v) => String(+v.toPrecision(3)), fromZero: true,
    series: [
      { name: "training", colour: "c1", x, y: s.loss },
      { name: "test", colour: "c2", x: e.epoch, y: drop(e.test_loss, e.epoch.length > 1 ? 1 : 0) },
      ...(e.validation_loss.some(isThere) ? [{ name: "validation", colour: "c3", x: e.epoch, y: drop(e.validation_loss, 1) }] : []),
    ],
  });
  drawPlot($("plot-speed"), {
    title: "Images a second, all ranks", axis: "epochs", format: thousands, fromZero: true,
    series: [{ name: "all ranks", colour: "c1", x: [...x], y: s.images_per_second }].filter((one) => one.y.length)
      .concat(s.step.length ? [] : [{ name: "all ranks", colour: "c1", x: e.epoch.slice(1), y: e.images_per_second.slice(1) }]),
  });
  const rates = run.ranks_images_per_second;
  drawPlot($("plot-ranks"), {
    title: "Images a second, rank by rank", axis: "epochs", format: thousands, fromZero: true, whole: true,
    series: (rates?.rank ?? []).map((y, r) => ({
      name: `rank ${r}`, colour: rates.rank.length > 8 ? "c1" : `c${r + 1}`, x: rates.epoch, y, isFaint: rates.rank.length > 8,
    })),
  });
}

function showPhases(run) {
  const all = run.phases, n = all?.compute_seconds?.length ?? 0;
  const shown = phases.filter(([key]) => all?.[key]?.some((v) => v > 0));
  $("phases-section").hidden = n === 0 || shown.length === 0;
  if ($("phases-section").hidden) return;
  const totals = Array.from({ length: n }, (_, r) => shown.reduce((sum, [key]) => sum + (all[key][r] ?? 0), 0));
  const longest = Math.max(...totals), rates = run.ranks_images_per_second.rank;
  $("phases-legend").replaceChildren(...shown.map(([, name, colour]) => {
    const mark = make("i");
    mark.style.background = `var(--${colour})`;
    return make("span", {}, mark, name);
  }));
  $("phases").replaceChildren(...totals.map((total, r) => {
    const bar = make("div", { role: "img", "aria-label": shown.map(([key, name]) => `${name} ${(all[key][r] ?? 0).toFixed(2)} s`).join(", ") });
    for (const [key, , colour] of shown) {
      const part = make("i");
      part.style.width = `${100 * (all[key][r] ?? 0) / longest}%`;
      part.style.background = `var(--${colour})`;
      bar.append(part);
    }
    const speed = lastOf(rates[r] ?? []);
    return make("div", { class: "phase-row" }, make("span", {}, `rank ${r}`), bar,
      make("span", {}, speed ? `${thousands(speed)} images/s` : `${total.toFixed(1)} s`));
  }));
}

function showEpochs(run) {
  const e = run.epochs, number = (v, digits) => (isThere(v) ? v.toFixed(digits) : "–");
  const columns = [
    ["epoch", (i) => String(e.epoch[i])], ["train loss", (i) => number(e.train_loss[i], 4)], ["test loss", (i) => number(e.test_loss[i], 4)],
    ["train accuracy %", (i) => number(e.train_accuracy[i], 2)], ["test accuracy %", (i) => number(e.test_accuracy[i], 2)],
    ...(e.validation_accuracy.some(isThere) ? [["validation accuracy %", (i) => number(e.validation_accuracy[i], 2)]] : []),
    ["seconds", (i) => (e.seconds[i] > 0 ? number(e.seconds[i], 1) : "–")],
    ["images/s", (i) => (e.images_per_second[i] > 0 ? thousands(e.images_per_second[i]) : "–")],
  ];
  const rows = e.epoch.map((_, i) => make("tr", {}, ...columns.map(([, text], c) => make(c ? "td" : "th", c ? {} : { scope: "row" }, text(i))))).reverse();
  $("epochs").replaceChildren(make("thead", {}, make("tr", {}, ...columns.map(([name]) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows));
}

function show(run) {
  const sentence = words[run.state] + (run.state === "failed" ? `, exit code ${run.exit_status}` : "");
  $("state").className = `state ${run.state}`;
  $("state").textContent = sentence;
  $("run-dir").textContent = [run.dir, run.data && `on ${run.data}`, run.hosts && `hosts ${run.hosts}`].filter(Boolean).join(", ");
  $("progress").value = share(run);
  $("progress").hidden = run.state === "waiting";
  if (state && state !== run.state) speak(sentence);
  state = run.state;
  showFigures(run);
  showPlots(run);
  showPhases(run);
  showEpochs(run);
}

let onNews = async () => {}; // there may be another network

async function look() {
  clearTimeout(timer);
  let period = PERIOD;
  try {
    const run = await ask("api/run"), text = JSON.stringify(run), done = lastOf(run.epochs.epoch) ?? -1;
    if ($("notice").dataset.lost) {
      notice("");
      delete $("notice").dataset.lost;
    }
    const isOver = state === "running" && run.state !== "running"; // the last checkpoint comes after the last epoch's line
    if (text !== last) show(run);
    last = text;
    period = run.state === "running" ? PERIOD : PERIOD_AT_REST;
    if (done !== epochs || isOver) await onNews();
    epochs = done;
  } catch (error) {
    notice(error.message);
    if (error.isLost) $("notice").dataset.lost = "yes";
    period = PERIOD_AT_REST;
  }
  if (!$("run").hidden && !document.hidden) timer = setTimeout(look, period);
}

export function openRun(about, newer) {
  $("run-none").hidden = about.watches;
  $("run-body").hidden = !about.watches;
  if (!about.watches) return;
  onNews = async () => renew(await newer());
  addEventListener("view", (event) => (event.detail === "run" ? look() : clearTimeout(timer)));
  document.addEventListener("visibilitychange", () => !document.hidden && !$("run").hidden && look());
  new ResizeObserver(() => { if (last && !$("run").hidden) showPlots(JSON.parse(last)); }).observe($("run-body"));
}
