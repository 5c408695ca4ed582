// Lines over an axis, as SVG in the page's own colours: axes with round numbers, a legend that tells the values under the
// pointer, and words for those who do not see it.
import { make } from "./common.js";

const HEIGHT = 210, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 34;

function svg(name, attributes = {}, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// About n round numbers that span low to high.
export function ticks(low, high, n) {
  const rough = (high - low) / n, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const out = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) out.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return out;
}

const isThere = (v) => v !== null && v !== undefined && Number.isFinite(v);

function limits(series, key, pad) {
  let low = Infinity, high = -Infinity;
  for (const s of series) for (const v of s[key]) if (isThere(v)) [low, high] = [Math.min(low, v), Math.max(high, v)];
  if (low > high) return [0, 1];
  const room = pad * (high - low || Math.abs(high) || 1);
  return [low - room, high + room];
}

function path(s, x, y) {
  let d = "", isDown = false;
  for (let i = 0; i < s.x.length; i++) {
    if (!isThere(s.y[i])) {
      isDown = false;
      continue;
    }
    d += `${isDown ? "L" : "M"}${x(s.x[i]).toFixed(1)} ${y(s.y[i]).toFixed(1)}`;
    isDown = true;
  }
  return d;
}

// The last point at or before v.
function indexAt(s, v) {
  let at = -1;
  for (let i = 0; i < s.x.length && s.x[i] <= v; i++) if (isThere(s.y[i])) at = i;
  return at;
}

function legend(figure, plot, v) {
  const rows = plot.series.length > 8 ? [] : plot.series.map((s) => {
    const at = indexAt(s, v), mark = make("i");
    mark.style.background = `var(--${s.colour})`;
    return make("span", {}, mark, s.name, make("b", {}, at < 0 ? "–" : plot.format(s.y[at])));
  });
  if (plot.series.length > 8) rows.push(make("span", {}, `${plot.series.length} lines, one each`));
  figure.querySelector(".legend").replaceChildren(...rows);
}

function spoken(plot) {
  return `${plot.title}. ` + plot.series.slice(0, 8).map((s) => {
    const at = indexAt(s, Infinity);
    return `${s.name}: ${at < 0 ? "nothing yet" : `${plot.format(s.y[at])} at the end`}`;
  }).join("; ");
}

function follow(figure, plot, box, scale) {
  const cross = svg("line", { class: "cross", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  box.append(cross);
  box.addEventListener("pointermove", (event) => {
    const at = event.clientX - box.getBoundingClientRect().left;
    const v = scale.low + (at - LEFT) / (scale.width - LEFT - RIGHT) * (scale.high - scale.low);
    const inside = v >= scale.low && v <= scale.high;
    cross.setAttribute("visibility", inside ? "visible" : "hidden");
    cross.setAttribute("x1", at);
    cross.setAttribute("x2", at);
    legend(figure, plot, inside ? v : Infinity);
  });
  box.addEventListener("pointerleave", () => {
    cross.setAttribute("visibility", "hidden");
    legend(figure, plot, Infinity);
  });
}

// plot: {title, series: [{name, colour, x: [], y: [], dashed}], format(v), axis, fromZero}
export function drawPlot(figure, plot) {
  figure.hidden = plot.series.every((s) => !s.y.some(isThere));
  if (figure.hidden) return;
  const width = Math.max(240, figure.clientWidth);
  const x0 = 0, x1 = limits(plot.series, "x", 0)[1];
  let [y0, y1] = limits(plot.series, "y", 0.06);
  if (plot.fromZero) y0 = 0;
  if (plot.most !== undefined) y1 = Math.min(y1, plot.most);
  const high = x1 > x0 ? x1 : x0 + 1;
  const x = (v) => LEFT + (v - x0) / (high - x0) * (width - LEFT - RIGHT);
  const y = (v) => HEIGHT - BOTTOM - (v - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
  const box = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": spoken(plot) });
  for (const t of ticks(y0, y1, 4)) {
    box.append(svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(t), y2: y(t) }));
    box.append(svg("text", { x: LEFT - 8, y: y(t) + 4, "text-anchor": "end" }, plot.tick ? plot.tick(t) : plot.format(t)));
  }
  for (const t of ticks(x0, high, Math.min(6, width / 80)))
    if (Number.isInteger(t) || !plot.whole) box.append(svg("text", { x: x(t), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, String(+t.toPrecision(6))));
  box.append(svg("text", { x: width - RIGHT, y: HEIGHT - 2, "text-anchor": "end" }, plot.axis));
  for (const s of plot.series) {
    const curve = svg("path", { class: "curve", d: path(s, x, y) });
    curve.style.stroke = `var(--${s.colour})`;
    if (s.isFaint) curve.style.strokeOpacity = 0.45;
    box.append(curve);
    const at = indexAt(s, Infinity), dot = svg("circle", { r: plot.series.length > 8 ? 0 : 3.5, cx: at < 0 ? -9 : x(s.x[at]), cy: at < 0 ? -9 : y(s.y[at]) });
    dot.style.fill = `var(--${s.colour})`;
    box.append(dot);
  }
  follow(figure, plot, box, { low: x0, high, width });
  figure.replaceChildren(make("h2", {}, plot.title), make("div", { class: "legend" }), box);
  legend(figure, plot, Infinity);
}
