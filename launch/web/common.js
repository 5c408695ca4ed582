// What both views share: elements, requests, words for screen readers.
export const $ = (id) => document.getElementById(id);

// make("li", {class: "wrong", "aria-label": "7"}, child, "text", ...)
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// The answer's object; throws with the program's own sentence.
export async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : { method: "POST", body });
  } catch {
    const lost = new Error("The program does not answer: dtrain serve has ended, or cannot be reached.");
    lost.isLost = true;
    throw lost;
  }
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let sentence = text;
  try { sentence = JSON.parse(text).error; } catch { /* a refusal in plain text */ }
  throw new Error(sentence);
}

export function notice(sentence) {
  $("notice").textContent = sentence;
  $("notice").hidden = !sentence;
}

// For screen readers; the same sentence again is read again.
export function speak(sentence) {
  $("spoken").textContent = "";
  requestAnimationFrame(() => { $("spoken").textContent = sentence; });
}

export const bytesOf = (hex) => Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.substr(2 * i, 2), 16));

export const percent = (v, digits = 1) => `${v.toFixed(digits)}\u00a0%`;
export const thousands = (v) => Math.round(v).toLocaleString("en");

// Grey pixels onto a canvas of their size.
export function showGrey(canvas, bytes, width, height) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < bytes.length; i++) image.data.set([bytes[i], bytes[i], bytes[i], 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
}
