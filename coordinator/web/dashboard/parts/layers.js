/**
 * Where the steps of a definition are drawn: in layers, each step one behind the last of those it comes after. Edges that
 * pass a layer get a place of their own in it, so that they run between the boxes and not through them.
 */

const box = { width: 172, least: 136, height: 54 };
const gap = { along: 46, least: 28, across: 16, edge: 12 };
const narrow = { width: 150, height: 54, along: 34, across: 10 };
const sweeps = 4;

/**
 * @param {{name: string, after: string[]}[]} steps
 * @param {number} room how wide it may become: from left to right where that is enough, else from top to bottom
 * @returns {{down: boolean, width: number, height: number, places: Map<string, {x: number, y: number, width: number, height: number}>,
 *   edges: {from: string, to: string, points: [number, number][]}[]}}
 */
export function laidOut(steps, room) {
  const layers = layered(steps);
  const down = layers.length * box.least + (layers.length - 1) * gap.least > room;
  const most = Math.max(1, ...layers.map((layer) => layer.filter((one) => one.step).length));
  const passing = Math.max(0, ...layers.map((layer) => layer.filter((one) => !one.step).length));
  const size = down
    ? { ...narrow, width: Math.max(92, Math.min(220, (room - (most - 1) * narrow.across - passing * (gap.edge + narrow.across)) / most)) }
    : { ...fitting(layers.length, room), height: box.height, across: gap.across };
  const thick = (one) => (one.step ? (down ? size.width : size.height) : gap.edge);
  const spans = layers.map((layer) => layer.reduce((sum, one) => sum + thick(one) + size.across, -size.across));
  const across = Math.max(...spans);
  const places = new Map();
  layers.forEach((layer, depth) => {
    let at = (across - spans[depth]) / 2;
    for (const one of layer) {
      one.across = at + thick(one) / 2;
      one.along = depth * ((down ? size.height : size.width) + size.along);
      at += thick(one) + size.across;
      if (one.step) places.set(one.step, put(one, size, down));
    }
  });
  const long = layers.length * ((down ? size.height : size.width) + size.along) - size.along;
  return {
    down, width: down ? across : long, height: down ? long : across, places,
    edges: edgesOf(steps, layers, places, size, down),
  };
}

/** Boxes as wide as they like to be, or as there is room for. */
function fitting(layers, room) {
  const along = layers * box.width + (layers - 1) * gap.along > room ? gap.least : gap.along;
  return { along, width: Math.min(box.width, Math.floor((room - (layers - 1) * along) / layers)) };
}

function put(one, { width, height }, down) {
  return down
    ? { x: one.across - width / 2, y: one.along, width, height }
    : { x: one.along, y: one.across - height / 2, width, height };
}

/** The layers, each a list of {step} and, for the edges that pass it, {passes}. */
function layered(steps) {
  const depths = new Map();
  const byName = new Map(steps.map((step) => [step.name, step]));
  const depthOf = (step, seen = 0) => {
    if (!depths.has(step.name)) {
      const before = step.after.map((name) => byName.get(name)).filter(Boolean);
      depths.set(step.name, seen > steps.length ? 0 : Math.max(-1, ...before.map((one) => depthOf(one, seen + 1))) + 1);
    }
    return depths.get(step.name);
  };
  steps.forEach((step) => depthOf(step));
  const layers = Array.from({ length: Math.max(0, ...depths.values()) + 1 }, () => []);
  const nodes = new Map();
  for (const step of steps) {
    const node = { step: step.name, before: [] };
    nodes.set(step.name, node);
    layers[depths.get(step.name)].push(node);
  }
  for (const step of steps) {
    for (const name of step.after.filter((one) => byName.has(one))) {
      let last = nodes.get(name);
      for (let depth = depths.get(name) + 1; depth < depths.get(step.name); depth += 1) {
        const node = { step: null, passes: `${name} ${step.name}`, before: [last] };
        layers[depth].push(node);
        last = node;
      }
      nodes.get(step.name).before.push(last);
    }
  }
  order(layers);
  return layers;
}

/** Neighbours near each other: each node goes to the middle of those before it, then of those behind it. */
function order(layers) {
  const behind = new Map();
  for (const node of layers.flat()) for (const one of node.before) behind.set(one, [...(behind.get(one) ?? []), node]);
  const number = (layer) => layer.forEach((node, at) => (node.at = at - (layer.length - 1) / 2));
  layers.forEach(number);
  const middle = (nodes, otherwise) => (nodes.length ? nodes.reduce((sum, one) => sum + one.at, 0) / nodes.length : otherwise);
  for (let sweep = 0; sweep < sweeps; sweep += 1) {
    const forward = sweep % 2 === 0;
    for (const layer of forward ? layers : [...layers].reverse()) {
      for (const node of layer) node.wish = middle(forward ? node.before : (behind.get(node) ?? []), node.at);
      layer.sort((a, b) => a.wish - b.wish || a.at - b.at);
      number(layer);
    }
  }
}

function edgesOf(steps, layers, places, size, down) {
  const passing = new Map();
  for (const node of layers.flat()) if (node.passes) passing.set(node.passes, [...(passing.get(node.passes) ?? []), node]);
  const found = [];
  for (const step of steps) {
    for (const name of step.after.filter((one) => places.has(one))) {
      const [from, to] = [places.get(name), places.get(step.name)];
      const by = (passing.get(`${name} ${step.name}`) ?? []).flatMap((node) => {
        const far = node.along + (down ? size.height : size.width);
        return down ? [[node.across, node.along], [node.across, far]] : [[node.along, node.across], [far, node.across]];
      });
      const points = down
        ? [[from.x + from.width / 2, from.y + from.height], ...by, [to.x + to.width / 2, to.y]]
        : [[from.x + from.width, from.y + from.height / 2], ...by, [to.x, to.y + to.height / 2]];
      found.push({ from: name, to: step.name, points });
    }
  }
  return found;
}

/** A smooth line through the points, moved aside by so many pixels. */
export function lineOf(points, { down = false, aside = 0 } = {}) {
  const moved = points.map(([x, y]) => (down ? [x + aside, y] : [x, y + aside]));
  let line = `M${moved[0].join(" ")}`;
  for (let at = 1; at < moved.length; at += 1) {
    const [[x0, y0], [x1, y1]] = [moved[at - 1], moved[at]];
    const half = down ? (y0 + y1) / 2 : (x0 + x1) / 2;
    line += down ? ` C${x0} ${half} ${x1} ${half} ${x1} ${y1}` : ` C${half} ${y0} ${half} ${y1} ${x1} ${y1}`;
  }
  return line;
}
