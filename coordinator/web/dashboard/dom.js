/**
 * What every module draws with: htm's tagged templates over preact. Text becomes text nodes and nothing else; the one
 * way in which preact would take markup from a string is shut here, and the browser's trusted types shut it again.
 */
import { Component, Fragment, createContext, h, options, render } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { Component, Fragment, createContext, render };
export {
  useCallback, useContext, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useReducer, useRef, useState,
} from "./vendor/hooks.js";

export const html = htm.bind(h);

const before = options.vnode;
options.vnode = (node) => {
  if (typeof node.type === "string" && node.props && "dangerouslySetInnerHTML" in node.props) {
    throw new Error("Markup from strings is not drawn here.");
  }
  if (before) before(node);
};

/** Class names of what is true: classes("row", {bad: failed}). */
export function classes(...given) {
  return given
    .flatMap((one) => (one && typeof one === "object" ? Object.keys(one).filter((name) => one[name]) : one))
    .filter(Boolean)
    .join(" ");
}
