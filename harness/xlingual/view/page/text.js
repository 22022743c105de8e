// Elements and texts. Nothing here or elsewhere parses a text as markup: createElement and textContent only.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;
// Joiners and zero-width spaces are spelling in Hindi, Persian, Khmer, Thai: shown only when asked for.
const JOINERS = /[\u200b-\u200d]/gu;
const NAMES = { "\r": "CR", "\u001b": "ESC", "\u0000": "NUL", "\ufeff": "BOM", "\u00ad": "SHY", "\u200b": "ZWSP", "\u200c": "ZWNJ", "\u200d": "ZWJ" };

function codeOf(character) {
  return NAMES[character] ?? `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

// An element; attributes that are null or false are left out. Children are elements or texts.
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null));
  return element;
}

// What cannot be seen, written out: for attributes, where there are no chips.
function plain(text) {
  return String(text).replace(HIDDEN, (character) => `⟨${codeOf(character)}⟩`);
}

// Put `text` into `element` with a chip for each character that cannot be seen and may change what is.
function putText(element, text, joiners = false) {
  const pattern = joiners ? new RegExp(`${HIDDEN.source}|${JOINERS.source}`, "gu") : HIDDEN;
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    if (match.index > from) element.append(text.slice(from, match.index));
    element.append(el("span", { class: "chip", title: "a character that cannot be seen" }, codeOf(match[0])));
    from = match.index + match[0].length;
  }
  element.append(text.slice(from));
  return element;
}

// A short text of a stranger inside a line: an inline-block of its own, out of which no direction leaks.
function name(text, attributes = {}) {
  return putText(el("span", { dir: "auto", ...attributes, class: `name ${attributes.class ?? ""}`.trim() }), String(text));
}

// A text of a stranger: a block, each paragraph with its own direction.
function block(text, lang, joiners, kind = "") {
  return putText(el("pre", { dir: "auto", lang: lang || null, class: `text ${kind}`.trim(), tabindex: "-1" }), String(text), joiners);
}

function number(value, digits = 1) {
  return value === null || value === undefined ? "–" : value.toFixed(digits);
}

function count(value) {
  return value.toLocaleString("en-US");
}

function plural(amount, word) {
  return `${count(amount)} ${word}${amount === 1 ? "" : "s"}`;
}

// Mark every occurrence of `words` in the text nodes of `elements`, without touching the document.
function highlight(elements, words) {
  if (!globalThis.Highlight || !CSS.highlights) return;
  const ranges = [];
  const wanted = [...new Set(words.map((word) => word.trim().toLowerCase()))].filter((word) => word.length > 0);
  for (const element of elements) {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      if (text.length !== node.data.length) continue;
      for (const word of wanted) {
        for (let at = text.indexOf(word); at >= 0 && ranges.length < 500; at = text.indexOf(word, at + word.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + word.length);
          ranges.push(range);
        }
      }
    }
  }
  CSS.highlights.set("gold", new Highlight(...ranges));
}
