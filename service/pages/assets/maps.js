// Maps of numbers out of PNG files: what canvas gives back is what the file holds.

async function bitmapOf(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${address} was answered with ${answer.status}.`);
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

async function pixelsOf(address) {
  const bitmap = await bitmapOf(address);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/** A grey map as one byte a pixel. */
export async function greyMap(address) {
  const data = await pixelsOf(address);
  const found = new Uint8Array(data.length / 4);
  for (let i = 0; i < found.length; i += 1) found[i] = data[4 * i];
  return found;
}

/** A map of numbers in R + 256 G + 65536 B. */
export async function numberMap(address) {
  const data = await pixelsOf(address);
  const found = new Uint32Array(data.length / 4);
  for (let i = 0; i < found.length; i += 1) {
    found[i] = data[4 * i] | (data[4 * i + 1] << 8) | (data[4 * i + 2] << 16);
  }
  return found;
}

export { bitmapOf };
