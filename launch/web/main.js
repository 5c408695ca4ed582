// The page's frame: two tabs, and what is served.
import { $, ask, notice, percent, thousands } from "./common.js";
import { openDraw } from "./draw.js";
import { openRun } from "./run.js";

const views = ["draw", "run"];
function show(view, focus) {
  for (const name of views) {
    const chosen = name === view;
    $(`tab-${name}`).setAttribute("aria-selected", chosen);
    $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    $(name).hidden = !chosen;
    if (chosen && focus) $(`tab-${name}`).focus();
  }
  document.title = view === "run" ? "dtrain: the run" : "dtrain: draw a digit";
  history.replaceState(null, "", `#${view}`);
  dispatchEvent(new CustomEvent("view", { detail: view }));
}

function openTabs() {
  for (const name of views) $(`tab-${name}`).addEventListener("click", () => show(name));
  document.querySelector('[role="tablist"]').addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: 0, End: 0 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = views.findIndex((name) => !$(name).hidden);
    const to = event.key === "Home" ? 0 : event.key === "End" ? views.length - 1 : (at + step + views.length) % views.length;
    show(views[to], true);
  });
}

function showOrigin(about) {
  const network = about.network;
  if (!network) {
    $("origin").textContent = about.subject;
    return;
  }
  const file = network.path.split("/").slice(-2).join("/");
  $("origin").textContent = `${file}, epoch ${network.epoch}, ${thousands(network.parameters)} parameters` +
    (network.best_value ? `, ${percent(network.best_value, 2)} ${network.best_kind}` : "");
  $("origin").title = `${network.path}\n${network.model}`;
}

async function start() {
  openTabs();
  let about;
  try {
    about = await ask("api/about");
  } catch (error) {
    notice(error.message);
    return;
  }
  showOrigin(about);
  const newer = async () => {
    const now = await ask("api/about");
    showOrigin(now);
    return now;
  };
  openDraw(about, newer);
  openRun(about, newer);
  const wanted = location.hash.slice(1);
  show(views.includes(wanted) ? wanted : about.draws || !about.watches ? "draw" : "run");
}
start();
