// Layers that lie over the image, each an own canvas of the same size. Pure: numbers in, pixels out.

export const IGNORE = 255;
const ANCHORS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141],
  [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37],
]; // viridis: even in lightness, so that it is read without its hues
const VIRIDIS = Array.from({ length: 256 }, (_, i) => {
  const at = (i / 255) * (ANCHORS.length - 1);
  const low = Math.min(ANCHORS.length - 2, Math.floor(at));
  return ANCHORS[low].map((v, c) => Math.round(v + (ANCHORS[low + 1][c] - v) * (at - low)));
});

// A pattern for each class in turn, so that neighbours differ without their colours.
const PATTERNS = [
  () => false,
  (x, y) => (x + y) % 10 < 3,
  (x, y) => (x - y + 1000000) % 10 < 3,
  (x) => x % 9 < 3,
  (x, y) => y % 9 < 3,
  (x, y) => x % 8 < 3 && y % 8 < 3,
  (x, y) => x % 10 < 2 || y % 10 < 2,
];

function painted(width, height, paint) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  paint(picture.data);
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Classes in their colours; with `only` the others are faint; with `patterned` hatched. */
export function classLayer(map, colours, { width, height, only = null, patterned = false }) {
  return painted(width, height, (data) => {
    for (let i = 0; i < map.length; i += 1) {
      const found = map[i];
      const colour = colours[found];
      if (!colour) continue;
      const dim = only !== null && found !== only;
      const x = i % width;
      const light = patterned && PATTERNS[found % PATTERNS.length](x, (i - x) / width);
      for (let c = 0; c < 3; c += 1) {
        data[4 * i + c] = light ? 255 - (255 - colour[c]) * 0.35 : colour[c];
      }
      data[4 * i + 3] = dim ? 40 : 255;
    }
  });
}

/** Confidence from dark violet (0) to yellow (255). */
export function heatLayer(map, { width, height }) {
  return painted(width, height, (data) => {
    for (let i = 0; i < map.length; i += 1) {
      data.set(VIRIDIS[map[i]], 4 * i);
      data[4 * i + 3] = 255;
    }
  });
}

const DECIDED = { kept: [255, 255, 255, 150], relabelled: [255, 200, 0, 255], rejected: [255, 70, 80, 255] };

/** Edges of regions: white kept, yellow relabelled, red rejected; rejected ones are striped too. */
export function regionLayer(numbers, regions, { width, height, chosen = 0 }) {
  return painted(width, height, (data) => {
    for (let i = 0; i < numbers.length; i += 1) {
      const number = numbers[i];
      if (!number) continue;
      const x = i % width;
      const isEdge = x === 0 || i < width || numbers[i - 1] !== number || numbers[i - width] !== number;
      const decision = regions[number - 1]?.decision ?? "kept";
      const striped = decision === "rejected" && (x + (i - x) / width) % 8 < 2;
      if (number === chosen) {
        data.set(isEdge ? [255, 255, 255, 255] : [255, 255, 255, 70], 4 * i);
      } else if (isEdge || striped) data.set(DECIDED[decision], 4 * i);
    }
  });
}
