// The page of a trace.

const head = JSON.parse(byId('head').textContent);

for (const [name, value] of head.facts) {
  byId('facts').append(make('div', {}, make('dt', {}, name), make('dd', {}, value)));
}

/** A colour for each function: its module's hue, a little off. */
function functionColours(frames) {
  const hues = moduleHues(frames);
  const light = getComputedStyle(document.documentElement).getPropertyValue('--frame-light');
  return frames.map(({ name, module }) => `hsl(${hues.get(module) + (hashed(name) % 25)} 52% calc(${light} + ${(hashed(name) % 9) - 4}%))`);
}

/** What the flame graph is made of: each nesting's own time. */
function flameData(frames, nodes) {
  const samples = [];
  for (let number = 1; number < nodes.length; number += 1) {
    if (nodes[number].own <= 0) continue;
    const stack = [];
    for (let at = number; at > 0; at = nodes[at].parent) stack.push(nodes[at].fn);
    samples.push([stack, nodes[number].own]);
  }
  return { frames, flame: { samples, unit: 'nanoseconds' }, before: null };
}

async function start() {
  const calls = await readCalls(head);
  const arranged = arrange(head, calls);
  const frames = head.functions.map(([name, module]) => ({ name, module }));
  const view = tracks(head, calls, arranged, functionColours(frames));
  const table = functionTable(functionRows(head, calls, arranged), (i) => {
    view.reveal(i);
    byId('tracks').scrollIntoView();
  });
  const state = { zoom: 0, inverted: false, view: 'now', matching: null };
  const graph = flame(flameData(frames, arranged.nodes), (id) => {
    state.zoom = id;
    graph.draw(state);
  });
  graph.draw(state);
  byId('inverted').addEventListener('change', (event) => {
    Object.assign(state, { inverted: event.target.checked, zoom: 0 });
    graph.draw(state);
  });
  byId('reset').addEventListener('click', () => {
    state.zoom = 0;
    graph.draw(state);
  });
  let width = byId('graph').clientWidth;
  new ResizeObserver(() => {
    if (byId('graph').clientWidth === width) return;
    width = byId('graph').clientWidth;
    graph.draw(state);
  }).observe(byId('graph'));

  let isHit = null;
  const find = (wanted) => {
    const matches = matcher(wanted);
    table(matches);
    state.matching = matches && frames.map((frame) => matchesFrame(matches, frame));
    graph.draw(state);
    if (!matches) {
      isHit = null;
      byId('matched').textContent = '';
      view.mark(null);
      return;
    }
    const texts = calls.texts.map(matches);
    isHit = (i) => state.matching[calls.fn[i]] || texts[calls.args[i]] || texts[calls.result[i]];
    const prefix = new Uint32Array(calls.n + 1);
    for (let at = 0; at < calls.n; at += 1) prefix[at + 1] = prefix[at] + (isHit(arranged.order[at]) ? 1 : 0);
    byId('matched').textContent = `${count(prefix[calls.n])} of ${count(calls.n)} calls`;
    view.mark(prefix);
  };
  /** The next call that is found behind the chosen one, or before it; round the end. */
  const next = (step) => {
    if (!isHit) return;
    const from = view.chosen();
    for (let far = 1; far <= calls.n; far += 1) {
      const i = (from + step * far + 2 * calls.n) % calls.n;
      if (isHit(i)) {
        view.reveal(i);
        return;
      }
    }
  };
  byId('search').addEventListener('input', (event) => find(event.target.value));
  byId('search').addEventListener('keydown', (event) => {
    if (event.key === 'Enter') next(event.shiftKey ? -1 : 1);
  });
  addEventListener('keydown', (event) => {
    if (event.key === '/' && event.target !== byId('search')) {
      event.preventDefault();
      byId('search').focus();
    } else if (event.key === 'Escape') {
      byId('search').value = '';
      find('');
    }
  });
  // For those who time it.
  document.body.dataset.ready = String(Math.round(performance.now()));
  globalThis.ltrace = { draw: view.draw, show: view.show, span: head.span };
}

start().catch((why) => {
  byId('matched').textContent = `The page cannot be shown: ${why.message}. It needs a browser with DecompressionStream.`;
});
