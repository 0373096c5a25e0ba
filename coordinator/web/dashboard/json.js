/**
 * JSON read so that nothing is lost: numbers stay the text they were written as. A browser's own parser would make
 * 12345678901234567890 another number, and show an amount that nobody ever stated.
 *
 * A node is {kind: "object", entries: [[key, node]…]}, {kind: "array", items: [node…]}, {kind: "string", value}, or
 * {kind: "number" | "word", text}.
 */

const depthMax = 200;
const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const string = /"(?:[^"\\]|\\.)*"/y;
const word = /true|false|null/y;
const space = /[ \t\n\r]*/y;

/** The tree of a JSON text. Raises SyntaxError. */
export function parse(text) {
  const reader = { text, at: 0 };
  const node = value(reader, 0);
  take(reader, space);
  if (reader.at !== text.length) throw new SyntaxError(`something follows at ${reader.at}`);
  return node;
}

/** The part of a JSON text at a path such as ["steps", 2, "input"], as it stands there; null if nothing does. */
export function partAt(text, path) {
  let node;
  try {
    node = parse(text);
  } catch {
    return null;
  }
  for (const step of path) {
    if (node.kind === "object") node = node.entries.find(([key]) => key === step)?.[1];
    else if (node.kind === "array") node = node.items[step];
    else return null;
    if (!node) return null;
  }
  return text.slice(node.from, node.to);
}

/** A node as indented text, every number as it was. */
export function written(node, indent = "") {
  const inner = `${indent}  `;
  switch (node.kind) {
    case "object":
      if (node.entries.length === 0) return "{}";
      return `{\n${node.entries.map(([key, one]) => `${inner}${JSON.stringify(key)}: ${written(one, inner)}`).join(",\n")}\n${indent}}`;
    case "array":
      if (node.items.length === 0) return "[]";
      return `[\n${node.items.map((one) => inner + written(one, inner)).join(",\n")}\n${indent}]`;
    case "string":
      return JSON.stringify(node.value);
    default:
      return node.text;
  }
}

function value(reader, depth) {
  if (depth > depthMax) throw new SyntaxError("nested too deep");
  take(reader, space);
  const from = reader.at;
  const node = unplaced(reader, depth);
  node.from = from;
  node.to = reader.at;
  return node;
}

function unplaced(reader, depth) {
  switch (reader.text[reader.at]) {
    case "{":
      return { kind: "object", entries: several(reader, "}", () => {
        take(reader, space);
        const key = JSON.parse(must(reader, string));
        take(reader, space);
        if (reader.text[reader.at++] !== ":") throw new SyntaxError(`no colon at ${reader.at - 1}`);
        return [key, value(reader, depth + 1)];
      }) };
    case "[":
      return { kind: "array", items: several(reader, "]", () => value(reader, depth + 1)) };
    case '"':
      return { kind: "string", value: JSON.parse(must(reader, string)) };
    default: {
      const text = take(reader, word);
      return text ? { kind: "word", text } : { kind: "number", text: must(reader, number) };
    }
  }
}

function several(reader, end, one) {
  const found = [];
  reader.at += 1;
  take(reader, space);
  if (reader.text[reader.at] === end) {
    reader.at += 1;
    return found;
  }
  for (;;) {
    found.push(one());
    take(reader, space);
    const next = reader.text[reader.at++];
    if (next === end) return found;
    if (next !== ",") throw new SyntaxError(`neither a comma nor an end at ${reader.at - 1}`);
  }
}

function take(reader, pattern) {
  pattern.lastIndex = reader.at;
  const found = pattern.exec(reader.text);
  if (!found) return "";
  reader.at = pattern.lastIndex;
  return found[0];
}

function must(reader, pattern) {
  const found = take(reader, pattern);
  if (!found) throw new SyntaxError(`what stands at ${reader.at} is not JSON`);
  return found;
}
