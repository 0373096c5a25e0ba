/**
 * What is typed into a form that was made from a JSON Schema, and the JSON it stands for. Numbers stay the text that was
 * typed. What the form has no field for is kept as it stands, so that nothing of a JSON text is lost on its way through.
 *
 * A draft is {kind, text} for what is typed into one field, {kind: "array", items}, or
 * {kind: "object", on, values: {name: draft}, extra: [[name, text]…]}; what is not `on` is left out.
 */
import { parse, written } from "../json.js";

const depthMax = 6;
const referencesMax = 8;

/** A schema without what only points elsewhere, or allows null besides. */
export function plain(schema, root) {
  let found = schema;
  for (let count = 0; count < referencesMax && typeof found?.$ref === "string" && found.$ref.startsWith("#/"); count += 1) {
    const { $ref, ...beside } = found;
    const part = $ref.slice(2).split("/").reduce((at, name) => at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], root);
    found = { ...part, ...beside };
  }
  const several = found?.anyOf ?? found?.oneOf;
  const real = Array.isArray(several) ? several.filter((one) => one?.type !== "null") : [];
  if (real.length === 1 && real.length < several.length) {
    const { anyOf, oneOf, ...beside } = found;
    return plain({ ...real[0], ...beside }, root);
  }
  return found && typeof found === "object" && !Array.isArray(found) ? found : {};
}

/** Which field a schema gets: "object", "array", "choice", "string", "number", "boolean"; "json" where no other fits. */
export function kindOf(schema, depth = 0) {
  if (depth > depthMax || schema.$ref) return "json";
  if (Array.isArray(schema.enum)) return "choice";
  if ("const" in schema) return "choice";
  const types = [schema.type].flat().filter((type) => type && type !== "null");
  if (types.length > 1) return "json";
  const type = types[0] ?? (schema.properties ? "object" : "json");
  if (type === "object") return schema.properties ? "object" : "json";
  if (type === "array") return schema.items && typeof schema.items === "object" && !Array.isArray(schema.items) ? "array" : "json";
  return type === "integer" ? "number" : ["string", "number", "boolean"].includes(type) ? type : "json";
}

export const choicesOf = (schema) => schema.enum ?? [schema.const];

/** Whether a form can be made of a schema at all: of an object with named parts. */
export const hasForm = (schema) => kindOf(plain(schema, schema)) === "object";

/** Nothing typed yet. */
export function blank(given, root, required = true, depth = 0) {
  const schema = plain(given, root);
  const kind = kindOf(schema, depth);
  if (kind === "object") {
    const values = mapped(schema.properties, (name, one) => blank(one, root, isRequired(schema, name), depth + 1));
    return { kind, on: required, values, extra: [] };
  }
  if (kind === "array") {
    const count = required ? Math.min(Math.max(schema.minItems ?? 0, 0), 5) : 0;
    return { kind, items: Array.from({ length: count }, () => blank(schema.items, root, true, depth + 1)) };
  }
  if (schema.default === undefined) return { kind, text: kind === "choice" && required && choicesOf(schema).length === 1 ? "0" : "" };
  return drafted(given, parse(JSON.stringify(schema.default)), root, depth);
}

export const isRequired = (schema, name) => Array.isArray(schema.required) && schema.required.includes(name);

const mapped = (parts, does) => Object.fromEntries(Object.entries(parts).map(([name, one]) => [name, does(name, one)]));

/** The draft of a JSON value, as `parse` of json.js reads it. What doesn't fit its field is edited as JSON. */
export function drafted(given, node, root, depth = 0) {
  const schema = plain(given, root);
  const kind = kindOf(schema, depth);
  const text = written(node);
  if (kind === "object" && node.kind === "object") {
    const stated = new Map(node.entries);
    const values = mapped(schema.properties, (name, one) => stated.has(name)
      ? drafted(one, stated.get(name), root, depth + 1) : absent(one, root, depth + 1));
    const extra = node.entries.filter(([name]) => !(name in schema.properties)).map(([name, one]) => [name, written(one)]);
    return { kind, on: true, values, extra };
  }
  if (kind === "array" && node.kind === "array") return { kind, items: node.items.map((one) => drafted(schema.items, one, root, depth + 1)) };
  if (kind === "choice") {
    const at = choicesOf(schema).findIndex((one) => written(parse(JSON.stringify(one))) === text);
    if (at >= 0) return { kind, text: String(at) };
  }
  if (kind === "string" && node.kind === "string") return { kind, text: node.value, stated: true };
  if (kind === "number" && node.kind === "number") return { kind, text: node.text };
  if (kind === "boolean" && (text === "true" || text === "false")) return { kind, text };
  return { kind: "json", text };
}

function absent(given, root, depth) {
  const draft = blank(given, root, false, depth);
  return draft.kind === "object" || draft.kind === "array" ? draft : { kind: draft.kind, text: "" };
}

/** The JSON text of a draft; null: it is left out. Raises SyntaxError where a part that is JSON isn't. */
export function textOf(given, draft, root, required = true, name = "") {
  const schema = plain(given, root);
  switch (draft.kind) {
    case "object": {
      if (!draft.on) return null;
      const parts = Object.entries(draft.values).map(([key, one]) => [key, textOf(schema.properties[key], one, root, isRequired(schema, key), key)]);
      return `{${[...parts, ...draft.extra].filter(([, text]) => text !== null).map(([key, text]) => `${JSON.stringify(key)}: ${text}`).join(", ")}}`;
    }
    case "array":
      if (draft.items.length === 0 && !required) return null;
      return `[${draft.items.map((one) => textOf(schema.items, one, root, true, name) ?? "null").join(", ")}]`;
    case "choice":
      return draft.text === "" ? null : JSON.stringify(choicesOf(schema)[Number(draft.text)]);
    case "string":
      return draft.text === "" && !required && !draft.stated ? null : JSON.stringify(draft.text);
    case "number":
      return draft.text.trim() === "" ? null : isJson(draft.text) ? draft.text.trim() : JSON.stringify(draft.text);
    default:
      if (draft.text.trim() === "") return null;
      if (!isJson(draft.text)) throw new SyntaxError(`${name || "the input"}: this is not JSON`);
      return draft.text;
  }
}

export function isJson(text) {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}
