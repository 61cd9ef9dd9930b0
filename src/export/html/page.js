// The page: what is zoomed to and searched for stands in its address, so that it can be passed on
// and the browser's way back leads out of a zoom.

const data = JSON.parse(byId('data').textContent);
const VIEWS = { now: 'live now', before: 'live before', growth: 'growth' };

function address() {
  return new URLSearchParams(location.hash.slice(1));
}

/** Changes what the address holds; an empty value leaves it out. A `kept` change can be gone back from. */
function go(changes, kept) {
  const next = address();
  for (const [name, value] of Object.entries(changes)) {
    if (value === '' || value === null) next.delete(name);
    else next.set(name, value);
  }
  if (kept) {
    location.hash = next.toString();
  } else {
    history.replaceState(null, '', `#${next}`);
    show();
  }
}

const graph = flame(data, (id) => go({ zoom: id === 0 ? '' : id }, true));
const table = sites(data, (stack) => {
  go({ zoom: graph.find(stack, address().has('inverted')) ?? '' }, true);
  byId('flame').scrollIntoView();
});

/** Shows what the address says. */
function show() {
  const now = address();
  const view = data.before && now.get('view') in VIEWS ? now.get('view') : 'now';
  const wanted = now.get('search') ?? '';
  const matches = matcher(wanted);
  const frames = matches && data.frames.map((frame) => matchesFrame(matches, frame));
  if (byId('search').value !== wanted) byId('search').value = wanted;
  byId('view').value = view;
  byId('inverted').checked = now.has('inverted');
  const matched = graph.draw({
    zoom: Number(now.get('zoom') ?? 0), inverted: now.has('inverted'), view, matching: frames,
  });
  const left = table.draw(matches && { matches, frames });
  byId('matched').textContent = matched
    ? `${percent(matched.part, matched.whole)} matched, ${amount(matched.part, graph.unit)}; ${count(left)} of ${count(table.total)} sites`
    : '';
}

for (const [name, value] of data.facts) {
  byId('facts').append(make('div', {}, make('dt', {}, name), make('dd', {}, value)));
}
if (data.before) {
  byId('view').append(...Object.entries(VIEWS).map(([value, title]) => make('option', { value }, title)));
  byId('view-label').hidden = false;
  byId('key').hidden = false;
}
timeline(data);
show();

addEventListener('hashchange', show);
byId('search').addEventListener('input', (event) => go({ search: event.target.value }, false));
byId('view').addEventListener('change', (event) => go({ view: event.target.value === 'now' ? '' : event.target.value }, false));
// Another tree has other nodes.
byId('inverted').addEventListener('change', (event) => go({ inverted: event.target.checked ? '1' : '', zoom: '' }, false));
byId('reset').addEventListener('click', () => go({ zoom: '' }, true));
addEventListener('keydown', (event) => {
  if (event.key === '/' && event.target !== byId('search')) {
    event.preventDefault();
    byId('search').focus();
  } else if (event.key === 'Escape') {
    if (event.target === byId('search') && byId('search').value) go({ search: '' }, false);
    else go({ zoom: '' }, true);
  }
});
let width = byId('graph').clientWidth;
new ResizeObserver(() => {
  if (byId('graph').clientWidth === width) return;
  width = byId('graph').clientWidth;
  show();
}).observe(byId('graph'));
