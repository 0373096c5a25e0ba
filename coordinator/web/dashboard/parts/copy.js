/** Copying. Where a page that isn't on HTTPS has no clipboard, the old way is used; where neither works, that is said. */
import { html, useState } from "../dom.js";
import { Icon } from "./icons.js";
import { say } from "./notice.js";

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByHand(text);
  }
}

function copyByHand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "out-of-sight";
  const home = document.querySelector("dialog[open]") ?? document.body;
  const focused = document.activeElement;
  home.append(area);
  area.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } catch {
    done = false; // it was taken out of this browser
  }
  area.remove();
  focused?.focus?.();
  return done;
}

/** A button that copies: <Copy text=${id} what="the id" />. `text` may be a function, asked when it is pressed. */
export function Copy({ text, what = "this", label }) {
  const [done, set] = useState(false);
  const press = async (event) => {
    event.stopPropagation();
    const copied = await copy(typeof text === "function" ? await text() : text);
    if (!copied) {
      say(`This browser lets nothing be copied. Select ${what} by hand.`, "bad");
      return;
    }
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class="copy" onClick=${press} title=${`Copy ${what}`} aria-label=${`Copy ${what}`}>
    <${Icon} name=${done ? "check" : "copy"} />${label && html`<span>${done ? "Copied" : label}</span>`}
  </button>`;
}
