// How things are told: numbers, frames, elements.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** 1536 → "1.5 KiB". */
function bytes(value) {
  let unit = 0;
  let size = Math.abs(value);
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Number.isInteger(size) || size >= 1000 ? 0 : 1;
  return `${value < 0 ? '-' : ''}${size.toFixed(digits)} ${UNITS[unit]}`;
}

/** 1234567 → "1,234,567". */
function count(value) {
  return value.toLocaleString('en-US');
}

/** A value of a profile, by its unit. */
function amount(value, unit) {
  if (unit === 'nanoseconds') return seconds(value / 1e9);
  return unit === 'bytes' ? bytes(value) : `${count(value)}${unit && unit !== 'count' ? ` ${unit}` : ''}`;
}

/** With its sign, as growth is told. */
function signed(text, value) {
  return value > 0 ? `+${text}` : text;
}

/** 93.5 → "1.6 min". */
function seconds(value) {
  if (value === 0) return '0 s';
  if (value < 1e-6) return `${(value * 1e9).toFixed(0)} ns`;
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${round(value * 1000)} ms`;
  if (value < 90) return `${round(value)} s`;
  if (value < 5400) return `${round(value / 60)} min`;
  return `${round(value / 3600)} h`;
}

/** With one digit behind the point where there is need of it. */
function round(value) {
  return String(Number(value.toFixed(value < 100 ? 1 : 0)));
}

function percent(part, whole) {
  if (part <= 0 || whole <= 0) return '0 %';
  return `${((100 * part) / whole).toFixed(part === whole ? 0 : 1)} %`;
}

/** The name of a file without its directories. */
function base(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** "server.c:11", or nothing. */
function place(frame) {
  if (!frame.file) return '';
  return base(frame.file) + (frame.line ? `:${frame.line}` : '');
}

/** An element with these attributes, and texts or elements in it. */
function make(tag, attributes, ...content) {
  const svg = ['svg', 'g', 'path', 'line', 'text', 'rect', 'circle'].includes(tag);
  const element = svg
    ? document.createElementNS('http://www.w3.org/2000/svg', tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...content.filter((part) => part !== null));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

/** A test for texts: what is between slashes is a regular expression; upper case is as lower case. */
function matcher(wanted) {
  if (!wanted) return null;
  const slashed = /^\/(.+)\/$/.exec(wanted);
  if (slashed) {
    try {
      const expression = new RegExp(slashed[1], 'i');
      return (text) => expression.test(text);
    } catch {
      // Half typed as yet: it is looked for as it stands.
    }
  }
  const lower = wanted.toLowerCase();
  return (text) => text.toLowerCase().includes(lower);
}

/** A frame is found by its function, its source line or its module. */
function matchesFrame(matches, frame) {
  const line = frame.file && frame.file + (frame.line ? `:${frame.line}` : '');
  return [frame.name, line, frame.module].some((text) => text && matches(text));
}

