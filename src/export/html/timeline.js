// The time line: everything as an area, the top sites as lines. The legend tells the values at the
// pointer, and hides and shows.

/** More points than this cannot be told apart on a screen. */
const POINTS = 2000;
const PLOT_HEIGHT = 220;
const MARGIN = { top: 8, right: 28, bottom: 24, left: 72 };

/** Every so manieth point, and always the last. */
function thinned(points) {
  const known = points.filter((point) => point[0] !== null);
  const stride = Math.ceil(known.length / POINTS);
  return known.filter((_, at) => at % stride === 0 || at === known.length - 1);
}

/** Steps at which an axis is marked, at most `most` of them up to `top`. */
function ticks(top, most, steps) {
  const step = steps.find((size) => top / size <= most) ?? top;
  const marks = [];
  for (let at = 0; at <= top; at += step) marks.push(at);
  return marks;
}

const DECIMAL = Array.from({ length: 46 }, (_, at) => [1, 2, 5][at % 3] * 10 ** Math.floor(at / 3));
const BINARY = Array.from({ length: 60 }, (_, at) => 2 ** at);
const TIME = [0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200]
  .concat(Array.from({ length: 20 }, (_, at) => 86400 * 2 ** at));

/** The value at a time: that of the last reading before it. */
function valueAt(points, time) {
  let low = 0;
  let high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= time) low = middle + 1;
    else high = middle;
  }
  return low > 0 ? points[low - 1][1] : null;
}

function timeline(data) {
  const unit = data.flame.unit || 'bytes';
  const all = [data.total, ...data.tops].map((series, number) => ({
    name: series.name || (number === 0 ? 'all' : `site ${number}`),
    points: thinned(series.points),
    number,
    shown: true,
  }));
  if (all[0].points.length < 2) {
    byId('plot').append(make('p', { class: 'nothing' }, 'There was one reading only: nothing to draw over time.'));
    return;
  }
  const entries = all.map((series) => legendEntry(series, () => draw()));
  byId('legend').append(...entries.map((entry) => entry.element));

  const tell = (time) => {
    for (const { series, value } of entries) {
      const last = series.points.length ? series.points[series.points.length - 1][1] : null;
      const told = time === null ? last : valueAt(series.points, time);
      value.textContent = told === null ? '–' : amount(told, unit);
    }
  };
  const draw = () => {
    byId('plot').replaceChildren(plot(all.filter((series) => series.shown), unit, byId('plot').clientWidth, tell));
    tell(null);
  };
  new ResizeObserver(draw).observe(byId('plot'));
}

function legendEntry(series, draw) {
  const value = make('b', {});
  const element = make('button', { type: 'button', 'aria-pressed': 'true', title: series.name },
    make('i', { class: `swatch s${series.number % 9}` }), make('span', {}, series.name), value);
  element.addEventListener('click', () => {
    series.shown = !series.shown;
    element.setAttribute('aria-pressed', String(series.shown));
    draw();
  });
  return { series, value, element };
}

/** The drawing. `tell` is called with the time that the pointer is at, and with null when it leaves. */
function plot(shown, unit, width, tell) {
  const points = shown.flatMap((series) => series.points);
  const end = Math.max(...all(points, 0), 0.001);
  const top = Math.max(...all(points, 1), 1);
  const right = Math.max(width - MARGIN.right, MARGIN.left + 1);
  const bottom = PLOT_HEIGHT - MARGIN.bottom;
  const x = (time) => MARGIN.left + (time / end) * (right - MARGIN.left);
  const y = (value) => bottom - (Math.max(value, 0) / top) * (bottom - MARGIN.top);

  const svg = make('svg', { width, height: PLOT_HEIGHT, role: 'img', 'aria-label': 'Live over time' });
  for (const value of ticks(top, 5, unit === 'bytes' ? BINARY : DECIMAL)) {
    svg.append(
      make('line', { class: 'grid', x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }),
      make('text', { class: 'tick', x: MARGIN.left - 8, y: y(value) + 4, 'text-anchor': 'end' }, amount(value, unit)));
  }
  for (const time of ticks(end, Math.max(width / 110, 2), TIME)) {
    svg.append(make('text', { class: 'tick', x: x(time), y: PLOT_HEIGHT - 6, 'text-anchor': 'middle' }, seconds(time)));
  }
  // The lines of sites stand in front of the area of everything.
  for (const series of shown) {
    const line = series.points.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join('L');
    if (!line) continue;
    if (series.number === 0) {
      const [first, last] = [series.points[0][0], series.points[series.points.length - 1][0]];
      svg.append(make('path', { class: 'area', d: `M${x(first)},${bottom}L${line}L${x(last)},${bottom}Z` }));
    }
    svg.append(make('path', { class: `line s${series.number % 9}`, d: `M${line}` }));
  }
  const cursor = make('line', { class: 'cursor', y1: MARGIN.top, y2: bottom, x1: -1, x2: -1 });
  svg.append(cursor);
  svg.addEventListener('pointermove', (event) => {
    const at = Math.min(Math.max(event.offsetX, MARGIN.left), right);
    cursor.setAttribute('x1', at);
    cursor.setAttribute('x2', at);
    tell(((at - MARGIN.left) / (right - MARGIN.left)) * end);
  });
  svg.addEventListener('pointerleave', () => {
    cursor.setAttribute('x1', -1);
    cursor.setAttribute('x2', -1);
    tell(null);
  });
  return svg;
}

/** One coordinate of all points. */
function all(points, coordinate) {
  return points.map((point) => point[coordinate]);
}

