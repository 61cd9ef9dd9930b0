// The time line: a track for each thread, a row for each depth of calls within each other. What is narrower than a pixel
// is passed over by searching, so that drawing costs as much as the window is wide, however many calls there are.

const BAR = 17;
const LABEL = 20;
const AXIS = 24;
/** Calls narrower than this, in pixels, share a cell. */
const CELL = 2;

/** The first place in `order` from `low` to `high` whose call does not begin before `time`. */
function search(arranged, calls, low, high, time) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (calls.start[arranged.order[middle]] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A step between marks of the axis: 1, 2 or 5 and zeros. */
function markStep(span, most) {
  const raw = span / most;
  const ten = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * ten).find((step) => step >= raw);
}

function tracks(head, calls, arranged, colours) {
  const canvas = byId('canvas');
  const view = byId('view');
  const context = canvas.getContext('2d');
  const tops = [];
  let height = AXIS;
  for (const depths of arranged.deepest) {
    tops.push(height);
    height += LABEL + Math.max(depths, 1) * BAR + 6;
  }
  byId('room').style.height = `${height}px`;
  const whole = Math.max(head.span, 1);
  const shown = { from: 0, to: whole };
  let hits = null;
  let chosen = -1;
  let asked = false;
  let size = { width: 0, height: 0 };
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const fit = () => {
    const width = view.clientWidth;
    const tall = Math.min(height, Math.round(innerHeight * 0.62));
    const scale = devicePixelRatio || 1;
    if (size.width === width && size.height === tall && size.scale === scale) return;
    size = { width, height: tall, scale };
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(tall * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${tall}px`;
  };

  /** One bar, or several that look the same and touch: those are drawn at once. */
  const bars = {
    left: 0, right: -1, colour: '', y: 0, dim: false,
    add(left, right, y, colour, dim) {
      if (this.colour === colour && this.dim === dim && this.y === y && left <= this.right + 0.5) {
        this.right = Math.max(this.right, right);
        return;
      }
      this.flush();
      Object.assign(this, { left, right, y, colour, dim });
    },
    flush() {
      if (this.right > this.left) {
        context.globalAlpha = this.dim ? 0.35 : 1;
        context.fillStyle = this.colour;
        context.fillRect(this.left, this.y, this.right - this.left, BAR - 2);
      }
      this.right = -1;
      this.colour = '';
    },
  };

  const drawRow = (row, y, perPixel, front) => {
    const end = arranged.first[row + 1];
    const cell = CELL * perPixel;
    let at = search(arranged, calls, arranged.first[row], end, shown.from);
    if (at > arranged.first[row]) at -= 1;
    while (at < end) {
      const i = arranged.order[at];
      if (calls.start[i] > shown.to) break;
      const isNarrow = calls.duration[i] < cell;
      const begins = isNarrow ? Math.floor((calls.start[i] - shown.from) / cell) * CELL : (calls.start[i] - shown.from) / perPixel;
      const ends = isNarrow ? begins + CELL : begins + calls.duration[i] / perPixel;
      const next = isNarrow ? search(arranged, calls, at + 1, end, shown.from + (begins / CELL + 1) * cell) : at + 1;
      if (ends >= 0) {
        const isHit = hits && hits[next] > hits[at];
        const left = Math.max(begins, -2);
        const right = Math.min(ends, size.width + 2);
        const gap = right - left > 3 ? 0.6 : 0;
        bars.add(left, right - gap, y, isHit ? front.hit : colours[calls.fn[i]], Boolean(hits && !isHit));
        if (i === chosen || right - left > 26) {
          bars.flush();
          drawWords(i, left, right - left, y, isHit ? front.back : front.frame, front.text);
        }
      }
      at = next;
    }
    bars.flush();
    context.globalAlpha = 1;
  };

  const drawWords = (i, left, wide, y, colour, edge) => {
    context.globalAlpha = 1;
    if (i === chosen) {
      context.strokeStyle = edge;
      context.lineWidth = 2;
      context.strokeRect(left + 1, y + 1, Math.max(wide - 2, 1), BAR - 4);
    }
    if (wide <= 26) return;
    const [name] = head.functions[calls.fn[i]];
    const room = Math.floor((wide - 6) / 6.6);
    context.fillStyle = colour;
    context.fillText(name.length > room ? `${name.slice(0, Math.max(room - 1, 1))}…` : name, Math.max(left, 0) + 3, y + 12);
  };

  const drawAxis = (perPixel, front) => {
    context.fillStyle = front.back;
    context.fillRect(0, 0, size.width, AXIS);
    const step = markStep(shown.to - shown.from, Math.max(size.width / 110, 1));
    context.fillStyle = front.faint;
    for (let time = Math.ceil(shown.from / step) * step; time <= shown.to; time += step) {
      const x = (time - shown.from) / perPixel;
      context.fillRect(x, AXIS - 5, 1, 5);
      context.fillText(told(time, step), x + 4, AXIS - 9);
    }
  };

  const draw = () => {
    asked = false;
    fit();
    const { scale } = size;
    const front = {
      text: style('--front'), faint: style('--faint'), hit: style('--hit'), back: style('--back'), frame: style('--frame-front'), line: style('--line'),
    };
    const top = view.scrollTop;
    const perPixel = (shown.to - shown.from) / Math.max(size.width, 1);
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, size.width, size.height);
    context.font = '11px ui-monospace, monospace';
    for (const [thread, name] of head.threads.entries()) {
      const y = tops[thread] - top;
      const tall = LABEL + Math.max(arranged.deepest[thread], 1) * BAR;
      if (y > size.height || y + tall < 0) continue;
      context.fillStyle = front.line;
      context.fillRect(0, y, size.width, 1);
      context.fillStyle = front.faint;
      context.fillText(name, 4, y + 14);
      for (let depth = 0; depth < arranged.deepest[thread]; depth += 1) {
        const at = y + LABEL + depth * BAR;
        if (at < size.height && at + BAR > 0) drawRow(arranged.base[thread] + depth, at, perPixel, front);
      }
    }
    for (const [time, thread, text] of head.instants) {
      const x = (time - shown.from) / perPixel;
      const y = tops[thread] - top;
      if (x < -200 || x > size.width || y > size.height || y + LABEL < 0) continue;
      context.fillStyle = front.hit;
      context.fillRect(x, y + 2, 2, LABEL - 4);
      context.fillText(text, x + 5, y + 14);
    }
    drawAxis(perPixel, front);
    byId('whole').disabled = shown.from === 0 && shown.to === whole;
  };
  const redraw = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(draw);
  };

  const show = (from, to) => {
    const span = Math.min(Math.max(to - from, 20), whole);
    const begin = Math.min(Math.max(from, 0), whole - span);
    shown.from = begin;
    shown.to = begin + span;
    redraw();
  };
  const zoom = (factor, x) => {
    const at = shown.from + (x / Math.max(size.width, 1)) * (shown.to - shown.from);
    show(at - (at - shown.from) * factor, at + (shown.to - at) * factor);
  };
  const move = (part) => show(shown.from + part * (shown.to - shown.from), shown.to + part * (shown.to - shown.from));

  /** The call at a place of the window. */
  const callAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const y = event.clientY - box.top + view.scrollTop;
    if (event.clientY - box.top < AXIS) return -1;
    let thread = tops.length - 1;
    while (thread > 0 && tops[thread] > y) thread -= 1;
    const depth = Math.floor((y - tops[thread] - LABEL) / BAR);
    if (depth < 0 || depth >= arranged.deepest[thread]) return -1;
    const row = arranged.base[thread] + depth;
    const perPixel = (shown.to - shown.from) / Math.max(size.width, 1);
    const time = shown.from + x * perPixel;
    const at = search(arranged, calls, arranged.first[row], arranged.first[row + 1], time + perPixel) - 1;
    if (at < arranged.first[row]) return -1;
    const i = arranged.order[at];
    return calls.start[i] + calls.duration[i] >= time - perPixel ? i : -1;
  };
  const about = (i) => [
    make('code', {}, line(head, calls, i)),
    make('span', { class: 'faint' }, `${seconds(calls.duration[i] / 1e9)}, ${seconds(Math.max(arranged.own[i], 0) / 1e9)} of its own; at ${seconds(calls.start[i] / 1e9)}; ${head.threads[calls.thread[i]]}; ${head.functions[calls.fn[i]][1]}`),
  ];
  const choose = (i) => {
    chosen = i;
    byId('call').replaceChildren(...(i < 0 ? [] : about(i)));
    redraw();
  };
  /** Brings a call into the window. */
  const reveal = (i) => {
    const span = Math.min(shown.to - shown.from, Math.max(calls.duration[i] * 20, 2000));
    const middle = calls.start[i] + calls.duration[i] / 2;
    show(middle - span / 2, middle + span / 2);
    view.scrollTop = Math.max(tops[calls.thread[i]] + LABEL + calls.depth[i] * BAR - size.height / 2, 0);
    choose(i);
  };

  let dragged = null;
  canvas.addEventListener('pointerdown', (event) => {
    dragged = { x: event.clientX, from: shown.from, to: shown.to, far: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    const tip = byId('tip');
    if (dragged) {
      const far = event.clientX - dragged.x;
      dragged.far ||= Math.abs(far) > 3;
      canvas.classList.toggle('dragged', dragged.far);
      const by = (-far / Math.max(size.width, 1)) * (dragged.to - dragged.from);
      if (dragged.far) show(dragged.from + by, dragged.to + by);
      tip.hidden = true;
      return;
    }
    const i = callAt(event);
    tip.hidden = i < 0;
    if (i < 0) return;
    tip.replaceChildren(...about(i));
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
  });
  const drop = (event) => {
    if (dragged && !dragged.far && event.type === 'pointerup') choose(callAt(event));
    dragged = null;
    canvas.classList.remove('dragged');
  };
  canvas.addEventListener('pointerup', drop);
  canvas.addEventListener('pointercancel', drop);
  canvas.addEventListener('pointerleave', () => { byId('tip').hidden = true; });
  canvas.addEventListener('dblclick', (event) => {
    const i = callAt(event);
    if (i >= 0) show(calls.start[i] - calls.duration[i] * 0.1, calls.start[i] + calls.duration[i] * 1.1);
  });
  canvas.addEventListener('wheel', (event) => {
    const box = canvas.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey) zoom(1.0015 ** event.deltaY, event.clientX - box.left);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) move((event.deltaX || event.deltaY) / Math.max(size.width, 1));
    else return;
    event.preventDefault();
  }, { passive: false });
  view.addEventListener('keydown', (event) => {
    const middle = size.width / 2;
    const keys = {
      w: () => zoom(0.7, middle), s: () => zoom(1 / 0.7, middle), '+': () => zoom(0.7, middle), '-': () => zoom(1 / 0.7, middle),
      a: () => move(-0.15), d: () => move(0.15), ArrowLeft: () => move(-0.15), ArrowRight: () => move(0.15), Home: () => show(0, whole),
    };
    if (event.ctrlKey || event.metaKey || !(event.key in keys)) return;
    keys[event.key]();
    event.preventDefault();
  });
  view.addEventListener('scroll', redraw);
  byId('whole').addEventListener('click', () => show(0, whole));
  new ResizeObserver(redraw).observe(view);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  draw();
  return {
    draw, show, reveal, shown,
    chosen: () => chosen,
    mark: (prefix) => {
      hits = prefix;
      redraw();
    },
  };
}

/** A time of the axis, as exact as its marks. */
function told(nanos, step) {
  const [unit, name] = step < 1e3 ? [1, 'ns'] : step < 1e6 ? [1e3, 'µs'] : step < 1e9 ? [1e6, 'ms'] : [1e9, 's'];
  return `${count(Math.round(nanos / unit))} ${name}`;
}
