/**
 * Tables whose rows lead somewhere. The keys j and k walk the rows (the focus is on each row's link, so that Enter,
 * a screen reader and the mouse all do the same); x chooses a row. On a phone each row becomes a small card.
 */
import { classes, html, useRef } from "../dom.js";
import { useKeys } from "../keys.js";
import { follow } from "../router.js";

/**
 * @typedef {{name: string, label: string, cell: (row: any) => any, kind?: "number" | "mono" | "wide" | "tight" | "name",
 *   link?: boolean, phone?: "hide" | "lead"}} Column `link`: this cell is the row's link; `lead`: first on a phone
 */

/**
 * @param {{label: string, columns: Column[], rows: any[], keyOf: (row: any) => string, address?: (row: any) => string,
 *   tone?: (row: any) => string, chosen?: Set<string>, choose?: (keys: string[], chosen: boolean) => void,
 *   onPointer?: (where: {hovers?: boolean, focused?: boolean}) => void}} given
 */
export function Table({ label, columns, rows, keyOf, address, tone, chosen, choose, onPointer }) {
  const body = useRef(null);
  const last = useRef(null); // the row that was chosen last, for a range with shift
  const walk = (steps) => {
    const links = [...body.current.querySelectorAll("[data-row-link]")];
    if (links.length === 0) return;
    const here = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
    const next = here < 0 ? (steps > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, here + steps));
    links[next].focus();
    links[next].closest("tr").scrollIntoView({ block: "nearest" });
  };
  const underFocus = () => rows.find((row) => keyOf(row) === document.activeElement?.closest?.("tr")?.dataset.key);
  useKeys({
    j: { says: "next row", does: () => walk(1) },
    k: { says: "previous row", does: () => walk(-1) },
    ...(choose ? { x: { says: "choose the row", does: () => {
      const row = underFocus();
      if (row) choose([keyOf(row)], !chosen.has(keyOf(row)));
    } } } : {}),
  });
  const press = (event, row) => {
    const target = event.target;
    if (target.closest("a, button, input, label, summary") || String(getSelection()) !== "") return;
    if (address) follow(event, address(row));
  };
  const tick = (event, row) => {
    const keys = rows.map(keyOf);
    const [from, to] = [keys.indexOf(last.current), keys.indexOf(keyOf(row))].sort((a, b) => a - b);
    const several = event.shiftKey && from >= 0 ? keys.slice(from, to + 1) : [keyOf(row)];
    last.current = keyOf(row);
    choose(several, event.target.checked);
  };
  const all = choose && rows.length > 0 && rows.every((row) => chosen.has(keyOf(row)));
  const some = choose && !all && rows.some((row) => chosen.has(keyOf(row)));
  return html`
    <div class="table-frame" onPointerEnter=${(event) => event.pointerType === "mouse" && onPointer?.({ hovers: true })}
        onPointerLeave=${() => onPointer?.({ hovers: false })}
        onFocusIn=${() => onPointer?.({ focused: true })} onFocusOut=${() => onPointer?.({ focused: false })}>
      <table class=${classes("table", { leads: address })} aria-label=${label}>
        <thead><tr>
          ${choose && html`<th class="tick"><input type="checkbox" aria-label="Choose all rows of this page" checked=${all}
            ref=${(box) => box && (box.indeterminate = some)} onChange=${(event) => choose(rows.map(keyOf), event.target.checked)} /></th>`}
          ${columns.map((column) => html`<th key=${column.name} scope="col" class=${column.kind}>${column.label}</th>`)}
        </tr></thead>
        <tbody ref=${body}>
          ${rows.map((row) => html`<tr key=${keyOf(row)} data-key=${keyOf(row)} class=${classes(tone?.(row), { chosen: chosen?.has(keyOf(row)) })}
              onClick=${(event) => press(event, row)}>
            ${choose && html`<td class="tick"><input type="checkbox" aria-label=${`Choose ${keyOf(row)}`} checked=${chosen.has(keyOf(row))}
              onClick=${(event) => tick(event, row)} /></td>`}
            ${columns.map((column) => cell(column, row, address))}
          </tr>`)}
        </tbody>
      </table>
    </div>`;
}

function cell(column, row, address) {
  const content = column.cell(row);
  const link = column.link && address;
  return html`<td key=${column.name} class=${classes(column.kind, column.phone && `phone-${column.phone}`)} data-label=${column.label}>
    ${link ? html`<a data-row-link href=${address(row)} onClick=${(event) => follow(event, address(row))}>${content}</a>` : content}
  </td>`;
}
