// The viewer of a label: stage by stage over the image, with what stands at a point in words.
import { enableButtons } from "./page.js";
import { bitmapOf, greyMap, numberMap } from "./maps.js";
import { classLayer, heatLayer, IGNORE, regionLayer } from "./layers.js";

const STEP_PX = 8; // of the reading point, with arrow keys

const share = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);

class Viewer {
  constructor(data) {
    this.data = data;
    this.size = { width: data.width, height: data.height };
    this.canvas = document.getElementById("canvas");
    this.context = this.canvas.getContext("2d");
    this.tip = document.getElementById("tip");
    this.reading = document.getElementById("reading");
    this.colours = [];
    this.names = [];
    for (const one of data.classes) {
      this.colours[one.id] = one.color;
      this.names[one.id] = one.name;
    }
    this.view = { stage: data.stages.length, opacity: 0.6, split: 0, heat: false, regions: false,
      patterns: false, only: null, pinned: null };
    this.point = null;
    this.cache = new Map();
    this.found = { stages: [] };
  }

  /** Loads something once, and draws again when it is there. */
  need(key, load) {
    if (!this.cache.has(key)) {
      this.cache.set(key, null);
      load().then((value) => {
        this.cache.set(key, value);
        this.draw();
        if (this.point) this.read();
      }, (error) => { this.reading.textContent = error.message; });
    }
    return this.cache.get(key);
  }

  image() { return this.need("image", () => bitmapOf(this.data.image)); }
  map(stage) { return this.need(`map ${stage}`, () => greyMap(this.data.stages[stage - 1].map)); }
  confidence() { return this.need("confidence", () => greyMap(this.data.confidence)); }
  numbers() { return this.need("numbers", () => numberMap(this.data.regions.map)); }
  regionList() {
    return this.need("regions", async () => (await (await fetch(this.data.regions.list)).json()).regions);
  }

  layer(key, make) {
    if (!this.cache.has(key)) {
      if (this.cache.size > 60) this.forgetLayers();
      this.cache.set(key, make());
    }
    return this.cache.get(key);
  }

  forgetLayers() {
    for (const key of this.cache.keys()) if (key.startsWith("layer")) this.cache.delete(key);
  }

  set(changes) {
    Object.assign(this.view, changes);
    this.draw();
    this.read();
  }

  draw() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      this.paint();
    });
  }

  paint() {
    const { width, height } = this.size;
    const { view, context } = this;
    const image = this.image();
    if (!image) return;
    context.globalAlpha = 1;
    context.drawImage(image, 0, 0, width, height);
    const over = this.overlay();
    const left = Math.round(view.split * width);
    context.save();
    context.beginPath();
    context.rect(left, 0, width - left, height);
    context.clip();
    if (over) {
      context.globalAlpha = view.opacity;
      context.drawImage(over, 0, 0);
    }
    context.globalAlpha = 1;
    const edges = this.regionEdges();
    if (edges) context.drawImage(edges, 0, 0);
    context.restore();
    if (view.split > 0 && view.split < 1) {
      context.fillStyle = "#fff";
      context.fillRect(left - 1, 0, 2, height);
    }
    this.drawPoint();
    this.canvas.dataset.drawn = `${view.stage} ${view.heat ? "heat" : over ? "classes" : "image"}`;
    if (!this.isReady) {
      this.isReady = true;
      this.read();
    }
  }

  overlay() {
    const { view } = this;
    if (view.heat) {
      const map = this.confidence();
      return map && this.layer("layer heat", () => heatLayer(map, this.size));
    }
    if (view.stage === 0) return null;
    const map = this.map(view.stage);
    const only = view.only ?? view.pinned;
    return map && this.layer(`layer ${view.stage} ${only} ${view.patterns}`,
      () => classLayer(map, this.colours, { ...this.size, only, patterned: view.patterns }));
  }

  regionEdges() {
    if (!this.view.regions) return null;
    const numbers = this.numbers();
    const list = this.regionList();
    if (!numbers || !list) return null;
    const chosen = this.point ? numbers[this.point.at] : 0;
    return this.layer(`layer regions ${chosen}`,
      () => regionLayer(numbers, list, { ...this.size, chosen }));
  }

  drawPoint() {
    if (!this.point?.byKeys) return;
    const { x, y } = this.point;
    this.context.lineWidth = 3;
    for (const [colour, radius] of [["#000", 9], ["#fff", 7]]) {
      this.context.strokeStyle = colour;
      this.context.strokeRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
  }

  /** What stands at a point, in words. */
  words(at) {
    const { view } = this;
    const said = [];
    const stage = view.stage === 0 ? this.data.stages.length : view.stage;
    const map = this.map(stage);
    const sure = this.confidence();
    if (map) said.push(map[at] === IGNORE ? "no class" : this.names[map[at]] ?? `class ${map[at]}`);
    if (sure) said.push(`${share(sure[at] / 255)} sure`);
    const region = this.regionAt(at);
    if (region) said.push(this.regionWords(region));
    return said.join(" · ");
  }

  regionAt(at) {
    if (!this.data.regions) return null;
    const numbers = this.numbers();
    const list = this.regionList();
    return numbers && list && numbers[at] ? list[numbers[at] - 1] : null;
  }

  regionWords(region) {
    const before = this.names[region.class_before];
    const after = region.class_after === null ? null : this.names[region.class_after];
    const what = {
      kept: `region kept as ${before}`,
      relabelled: `region relabelled from ${before} to ${after}`,
      rejected: `region rejected, it was ${before}`,
    }[region.decision];
    const doubt = region.posterior === null ? "" : `, wrong with ${share(region.posterior)}`;
    return `${what} (votes ${share(region.vote_share)}${doubt})`;
  }

  read() {
    const { view, point } = this;
    const stage = view.stage === 0 ? "Image" : this.data.stages[view.stage - 1].title;
    const shown = view.heat ? "Confidence" : stage;
    if (!point) {
      this.tip.hidden = true;
      this.reading.textContent = `${shown}. Point at the picture, or use the arrow keys on it.`;
      return;
    }
    const words = this.words(point.at);
    const { scale } = this.data;
    this.reading.textContent = `${shown} at ${Math.round(point.x * scale)}, ${Math.round(point.y * scale)}: ${words}`;
    this.tip.textContent = words;
    this.tip.hidden = !words;
    const box = this.canvas.getBoundingClientRect();
    const left = (point.x / this.size.width) * box.width;
    const top = (point.y / this.size.height) * box.height;
    this.tip.style.left = `${Math.max(4, Math.min(left + 14, box.width - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${Math.max(4, top - this.tip.offsetHeight - 12)}px`;
    const colour = this.colours[this.map(Math.max(1, view.stage))?.[point.at]];
    this.tip.style.borderLeftColor = colour ? `rgb(${colour.join(" ")})` : "transparent";
  }

  pointTo(x, y, byKeys = false) {
    const { width, height } = this.size;
    const clamp = (value, most) => Math.max(0, Math.min(most - 1, Math.round(value)));
    this.point = { x: clamp(x, width), y: clamp(y, height), byKeys };
    this.point.at = this.point.y * width + this.point.x;
    this.read();
    if (this.view.regions || byKeys) this.draw();
  }

  leave() {
    this.point = null;
    this.read();
    if (this.view.regions) this.draw();
  }
}

function wirePicture(viewer) {
  const { canvas } = viewer;
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    viewer.pointTo(((event.clientX - box.left) / box.width) * viewer.size.width,
      ((event.clientY - box.top) / box.height) * viewer.size.height);
  });
  canvas.addEventListener("pointerleave", () => viewer.leave());
  canvas.addEventListener("blur", () => { viewer.leave(); viewer.draw(); });
  canvas.addEventListener("keydown", (event) => {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const step = event.shiftKey ? 1 : STEP_PX;
    const from = viewer.point ?? { x: viewer.size.width / 2, y: viewer.size.height / 2 };
    viewer.pointTo(from.x + dx * step, from.y + dy * step, true);
  });
}

function wireStages(viewer) {
  const slider = document.getElementById("stage");
  const stops = [...document.querySelectorAll("#stops button")];
  slider.parentElement.style.setProperty("--stops", stops.length);
  const show = (stage) => {
    slider.value = stage;
    slider.setAttribute("aria-valuetext", stops[stage].textContent);
    for (const [i, stop] of stops.entries()) stop.setAttribute("aria-pressed", String(i === stage));
    viewer.set({ stage });
  };
  slider.addEventListener("input", () => show(Number(slider.value)));
  for (const stop of stops) stop.addEventListener("click", () => show(Number(stop.dataset.stage)));
  show(viewer.data.stages.length);
}

function wireDials(viewer) {
  for (const name of ["opacity", "split"]) {
    const dial = document.getElementById(name);
    dial.addEventListener("input", () => {
      document.getElementById(`${name}-says`).textContent = `${dial.value} %`;
      viewer.set({ [name]: dial.value / 100 });
    });
  }
  for (const name of ["heat", "regions", "patterns"]) {
    const button = document.getElementById(name);
    button?.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(pressed));
      if (name === "heat") document.getElementById("heat-scale").hidden = !pressed;
      viewer.set({ [name]: pressed });
    });
  }
}

function wireLegend(viewer) {
  const legend = document.getElementById("legend");
  const of = (event) => event.target.closest("button[data-class]");
  for (const type of ["pointerover", "focusin"]) {
    legend.addEventListener(type, (event) => {
      const button = of(event);
      if (button) viewer.set({ only: Number(button.dataset.class) });
    });
  }
  for (const type of ["pointerleave", "focusout"]) {
    legend.addEventListener(type, () => viewer.set({ only: null }));
  }
  legend.addEventListener("click", (event) => {
    const button = of(event);
    if (!button) return;
    const pressed = button.getAttribute("aria-pressed") !== "true";
    for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
    button.setAttribute("aria-pressed", String(pressed));
    viewer.set({ pinned: pressed ? Number(button.dataset.class) : null });
  });
}

/** Opens the viewer that is on the page. */
export function openViewer() {
  const place = document.getElementById("viewer-data");
  if (!place) return null;
  const viewer = new Viewer(JSON.parse(place.textContent));
  wirePicture(viewer);
  wireStages(viewer);
  wireDials(viewer);
  wireLegend(viewer);
  for (const part of document.querySelectorAll("#viewer .stage, #legend")) enableButtons(part);
  return viewer;
}
