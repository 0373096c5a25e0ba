/**
 * An axis of time on which nothing that took moments vanishes beside what took days: long stretches in which nothing went
 * on are folded to a small width, and marked.
 */

const foldedShare = 0.035; // of the width, each
const foldedAtMostShare = 0.35; // of the width, all of them
const ticksWanted = 6;

/**
 * @param {[number, number][]} busy stretches in which something went on, in milliseconds
 * @param {number} from
 * @param {number} to
 * @returns {{at: (time: number) => number, ticks: {time: number, at: number}[], folds: {from: number, to: number, at: number, width: number}[]}}
 *   `at` gives percents of the width
 */
export function scaleOf(busy, from, to) {
  const end = Math.max(to, from + 1);
  const pieces = stretches(busy, from, end);
  const busyTotal = pieces.filter((piece) => piece.busy).reduce((sum, piece) => sum + piece.to - piece.from, 0) || end - from;
  const idle = pieces.filter((piece) => !piece.busy);
  const folded = new Set(idle.filter((piece) => piece.to - piece.from > Math.max(2_000, busyTotal * 1.5)));
  const foldWidth = folded.size ? Math.min(foldedShare, foldedAtMostShare / folded.size) * 100 : 0;
  const real = pieces.filter((piece) => !folded.has(piece)).reduce((sum, piece) => sum + piece.to - piece.from, 0) || 1;
  const rest = 100 - foldWidth * folded.size;
  let x = 0;
  for (const piece of pieces) {
    piece.at = x;
    piece.width = folded.has(piece) ? foldWidth : (rest * (piece.to - piece.from)) / real;
    x += piece.width;
  }
  const at = (time) => {
    const piece = pieces.find((one) => time <= one.to) ?? pieces.at(-1);
    const share = (time - piece.from) / Math.max(1, piece.to - piece.from);
    return piece.at + piece.width * Math.min(1, Math.max(0, share));
  };
  return { at, ticks: ticksOf(pieces, folded, from, real, at), folds: [...folded] };
}

function stretches(busy, from, to) {
  const pieces = [];
  let reached = from;
  for (const [start, end] of [...busy].sort((a, b) => a[0] - b[0])) {
    const [a, b] = [Math.max(start, from), Math.min(end, to)];
    if (b < reached) continue;
    if (a > reached) pieces.push({ from: reached, to: a, busy: false });
    const last = pieces.at(-1);
    if (last?.busy && a <= last.to) last.to = b;
    else pieces.push({ from: Math.max(a, reached), to: b, busy: true });
    reached = b;
  }
  if (reached < to || pieces.length === 0) pieces.push({ from: reached, to, busy: false });
  return pieces;
}

function ticksOf(pieces, folded, from, real, at) {
  const step = niceStep(real / ticksWanted);
  const found = [];
  for (const piece of pieces) {
    if (folded.has(piece)) continue;
    for (let time = from + Math.ceil((piece.from - from) / step) * step; time <= piece.to; time += step) {
      const place = at(time);
      if (place > 94 || (found.length && place - found.at(-1).at < 9)) continue;
      found.push({ time, at: place });
      if (found.length > 40) return found;
    }
  }
  return found;
}

const nice = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 15e3, 30e3, 60e3, 120e3, 300e3, 600e3, 1200e3, 3600e3, 7200e3, 14400e3, 43200e3, 86400e3];

function niceStep(wanted) {
  return nice.find((one) => one >= wanted) ?? Math.ceil(wanted / 86400e3) * 86400e3;
}
