/**
 * The steps of a definition as a graph: boxes that are buttons, and the lines between them. The way forward and the way
 * back are drawn beside each other; where there is no room to the right, the graph goes down.
 */
import { classes, html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { laidOut, lineOf } from "./layers.js";

const margin = 10;
const widthUnknown = 1_200; // until it is measured
const asideForward = -4;
const asideBackward = 5;

/**
 * @param {{label: string, steps: {name: string, after: string[]}[], draw: (step: any) => any, tone?: (step: any) => string,
 *   describe?: (step: any) => string, chosen?: string, choose?: (name: string) => void,
 *   way?: (from: string, to: string) => {forward: boolean, backward: boolean}}} given
 *   `draw`: what stands in a box; `way`: which ways were gone along an edge
 */
export function Graph({ label, steps, draw, tone, describe, chosen, choose, way }) {
  const frame = useRef(null);
  const [room, setRoom] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setRoom(Math.floor(entry.contentRect.width)));
    watch.observe(frame.current);
    return () => watch.disconnect();
  }, []);
  const shape = steps.map((step) => `${step.name}<${step.after.join()}`).join(";");
  const drawn = useMemo(() => laidOut(steps, (room || widthUnknown) - 2 * margin), [shape, room]);
  const { places, edges, down } = drawn;
  const gone = (edge) => way?.(edge.from, edge.to) ?? { forward: false, backward: false };
  const line = (edge, aside) => lineOf(edge.points, { down, aside });
  const walk = (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!steps || event.ctrlKey || event.altKey || event.metaKey) return;
    const buttons = [...frame.current.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement) + steps];
    if (!next) return;
    event.preventDefault();
    next.focus();
  };
  return html`
    <div class="graph" ref=${frame} role="group" aria-label=${label} onKeyDown=${walk}>
      <div class="graph-field" style=${{ width: `${drawn.width + 2 * margin}px`, height: `${drawn.height + 2 * margin}px` }}>
        <svg class="graph-lines" aria-hidden="true" width=${drawn.width + 2 * margin} height=${drawn.height + 2 * margin}
            viewBox=${`${-margin} ${-margin} ${drawn.width + 2 * margin} ${drawn.height + 2 * margin}`}>
          <defs>
            <marker id="tip-forward" class="tip-forward" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M1 1 7 4 1 7z" /></marker>
            <marker id="tip-open" class="tip-open" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M1 1 7 4 1 7z" /></marker>
            <marker id="tip-backward" class="tip-backward" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M7 1 1 4 7 7z" /></marker>
          </defs>
          ${edges.map((edge) => {
            const { forward, backward } = gone(edge);
            return html`
              <path key=${`${edge.from}>${edge.to}`} class=${forward ? "line forward-line" : "line open-line"} d=${line(edge, backward ? asideForward : 0)}
                marker-end=${forward ? "url(#tip-forward)" : "url(#tip-open)"} />
              ${backward && html`<path key=${`${edge.to}>${edge.from}`} class="line backward-line" d=${line(edge, asideBackward)} marker-start="url(#tip-backward)" />`}`;
          })}
        </svg>
        ${steps.map((step) => {
          const place = places.get(step.name);
          const where = { left: `${place.x + margin}px`, top: `${place.y + margin}px`, width: `${place.width}px`, height: `${place.height}px` };
          return html`<button type="button" key=${step.name} style=${where} class=${classes("graph-box", tone?.(step), { chosen: step.name === chosen })}
            aria-pressed=${choose ? step.name === chosen : undefined} title=${describe?.(step)} onClick=${() => choose?.(step.name)}>${draw(step)}</button>`;
        })}
      </div>
    </div>`;
}
