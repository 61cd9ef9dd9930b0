// The flame graph: a tree of calls, outermost on top, as wide as what is live behind them. Two
// profiles make one tree, coloured by what has changed.

/** Narrower than this, in pixels, a frame is left out; so are frames beyond so many, and so deep. */
const NARROW = 0.6;
const MOST = 20000;
const DEEP = 400;
const ROW = 20;

/** The tree of one or two profiles. A node has its values as `now`, `before` and `growth`. */
function grow(data, inverted) {
  const nodes = [];
  const node = (name, module, parent) => {
    const made = {
      id: nodes.length, name, module, parent, depth: parent ? parent.depth + 1 : 0,
      children: new Map(), frames: new Set(), now: 0, before: 0, growth: 0, own: 0,
    };
    nodes.push(made);
    return made;
  };
  const root = node('all', null, null);
  const add = (samples, when) => {
    for (const [stack, value] of samples) {
      if (value <= 0) continue;
      const calls = inverted ? stack : stack.toReversed();
      let at = root;
      at[when] += value;
      for (const number of calls) {
        const frame = data.frames[number];
        const key = `${frame.name}\n${frame.module ?? ''}`;
        let child = at.children.get(key);
        if (!child) {
          child = node(frame.name, frame.module, at);
          at.children.set(key, child);
        }
        child.frames.add(number);
        child[when] += value;
        at = child;
      }
      at.own += when === 'now' ? value : -value;
    }
  };
  add(data.flame.samples, 'now');
  if (data.before) add(data.before.samples, 'before');
  // A child comes after its parent, so backwards all of a node's children have been seen.
  for (const each of nodes.toReversed()) {
    each.growth += Math.max(each.own, 0);
    if (each.parent) each.parent.growth += each.growth;
  }
  return nodes;
}

/** A small number for a text, the same each time. */
function hashed(text) {
  let hash = 7;
  for (let at = 0; at < text.length; at += 1) hash = (hash * 31 + text.charCodeAt(at)) >>> 0;
  // Texts that differ little shall differ in all bits.
  return Math.imul(hash, 0x9e3779b1) >>> 8;
}

/** A hue for each module, as far apart as can be: they go round by the golden angle. */
function moduleHues(frames) {
  const hues = new Map();
  for (const { module } of frames) {
    if (!hues.has(module)) hues.set(module, (28 + hues.size * 137.5) % 360);
  }
  return hues;
}

/** The colour of a node, as values for the style sheet: by module, or, without hues, by what has changed. */
function paint(element, node, hues) {
  if (!node.parent) {
    element.classList.add('root');
  } else if (!hues) {
    const change = (node.now - node.before) / Math.max(node.now, node.before, 1);
    element.style.setProperty('--hue', change > 0 ? 8 : 215);
    element.style.setProperty('--strength', `${Math.abs(change) < 0.001 ? 0 : 25 + 60 * Math.abs(change)}%`);
  } else {
    element.style.setProperty('--hue', hues.get(node.module) + (hashed(node.name) % 25));
    element.style.setProperty('--strength', '52%');
    element.style.setProperty('--shift', `${(hashed(node.name) % 9) - 4}%`);
  }
}

/**
 * What is drawn: the nodes with their left edge and width as parts of 1. The zoomed one is 1 wide.
 * Children too narrow to be seen are one box of their parent's, which has their number as `narrow`.
 */
function layout(zoomed, view, pixels) {
  const boxes = [];
  for (let at = zoomed; at; at = at.parent) boxes.push({ node: at, left: 0, width: 1, outside: at !== zoomed });
  boxes.reverse();
  // Those behind the zoomed one are put in while the list is gone through: outer frames come first.
  for (let next = boxes.length - 1; next < boxes.length && boxes.length < MOST; next += 1) {
    const { node, left, width, narrow } = boxes[next];
    if (narrow || node.depth - zoomed.depth >= DEEP) continue;
    let edge = left;
    const children = [...node.children.values()].sort((a, b) => b[view] - a[view] || (a.name < b.name ? -1 : 1));
    for (const [place, child] of children.entries()) {
      const wide = node[view] > 0 ? (width * child[view]) / node[view] : 0;
      if (wide * pixels < NARROW) {
        // The rest is narrower still: one box for all of them.
        const rest = children.slice(place).reduce((sum, each) => sum + each[view], 0);
        const all = node[view] > 0 ? (width * rest) / node[view] : 0;
        if (all * pixels >= NARROW) boxes.push({ node, left: edge, width: all, narrow: children.length - place });
        break;
      }
      boxes.push({ node: child, left: edge, width: wide, outside: false });
      edge += wide;
    }
  }
  return boxes;
}

/** The value of the outermost nodes that match, so that none counts twice. */
function matchedValue(top, view, matches) {
  let sum = 0;
  const open = [top];
  while (open.length > 0) {
    const node = open.pop();
    if (matches(node)) sum += node[view];
    else open.push(...node.children.values());
  }
  return sum;
}

/** The flame graph. `zoom` is called with the id of a node to be zoomed to. */
function flame(data, zoom) {
  const graph = byId('graph');
  const unit = data.flame.unit;
  const compared = data.before !== null;
  const hues = compared ? null : moduleHues(data.frames);
  const trees = new Map();
  const tree = (inverted) => {
    if (!trees.has(inverted)) trees.set(inverted, grow(data, inverted));
    return trees.get(inverted);
  };
  let nodes = tree(false);
  let zoomed = nodes[0];
  let view = 'now';

  const tell = (node) => {
    byId('detail').replaceChildren(...described(node, nodes[0], view, unit, compared, data.frames));
  };
  const target = (event) => nodes[event.target.closest?.('.frame')?.dataset.id];
  graph.addEventListener('click', (event) => {
    const node = target(event);
    if (node) zoom(node === zoomed && node.parent ? node.parent.id : node.id);
  });
  for (const name of ['pointerover', 'focusin']) {
    graph.addEventListener(name, (event) => tell(target(event) ?? zoomed));
  }
  graph.addEventListener('pointerleave', () => tell(zoomed));
  graph.addEventListener('keydown', (event) => step(event, target(event), graph));

  const draw = (state) => {
    nodes = tree(state.inverted);
    zoomed = nodes[state.zoom] ?? nodes[0];
    view = state.view;
    const boxes = layout(zoomed, view, graph.clientWidth || 1000);
    const matches = state.matching && ((node) => [...node.frames].some((number) => state.matching[number]));
    const rows = Math.max(...boxes.map((box) => box.node.depth + (box.narrow ? 1 : 0))) + 1;
    graph.style.height = `${rows * ROW}px`;
    graph.classList.toggle('searched', Boolean(matches));
    graph.replaceChildren(...boxes.map((box) => drawn(box, zoomed, hues, matches)));
    byId('reset').disabled = zoomed === nodes[0];
    tell(zoomed);
    return matches ? { part: matchedValue(zoomed, view, matches), whole: zoomed[view] } : null;
  };
  const find = (stack, inverted) => {
    let node = tree(inverted)[0];
    for (const number of inverted ? stack : stack.toReversed()) {
      const frame = data.frames[number];
      node = node.children.get(`${frame.name}\n${frame.module ?? ''}`);
      if (!node) return null;
    }
    return node.id;
  };
  return { draw, find, unit };
}

function drawn(box, zoomed, hues, matches) {
  const { node } = box;
  if (box.narrow) return placed(make('div', { class: 'narrow', title: `${count(box.narrow)} more, too narrow to be drawn` }), box, node.depth + 1);
  const element = make('div', {
    class: 'frame', role: 'treeitem', 'data-id': node.id, 'aria-level': node.depth + 1,
    tabindex: node === zoomed ? 0 : -1,
  }, box.width > 0.008 ? node.name : '');
  paint(element, node, hues);
  if (box.outside) element.classList.add('outside');
  if (matches?.(node)) element.classList.add('hit');
  return placed(element, box, node.depth);
}

function placed(element, box, depth) {
  element.style.left = `${box.left * 100}%`;
  element.style.width = `${box.width * 100}%`;
  element.style.top = `${depth * ROW}px`;
  return element;
}

/** Arrow keys go to the parent, the first child and the neighbours; Enter zooms. */
function step(event, node, graph) {
  if (!node) return;
  const shown = (one) => one && graph.querySelector(`[data-id="${one.id}"]`);
  const siblings = node.parent ? [...node.parent.children.values()].filter(shown) : [node];
  siblings.sort((a, b) => parseFloat(shown(a).style.left) - parseFloat(shown(b).style.left));
  const place = siblings.indexOf(node);
  const children = [...node.children.values()].filter(shown);
  children.sort((a, b) => parseFloat(shown(a).style.left) - parseFloat(shown(b).style.left));
  const to = {
    ArrowUp: node.parent, ArrowDown: children[0], ArrowLeft: siblings[place - 1], ArrowRight: siblings[place + 1],
  };
  if (event.key === 'Enter') event.target.click();
  else if (event.key in to) shown(to[event.key])?.focus({ preventScroll: false });
  else return;
  event.preventDefault();
}

/** All that is known of a node, for the line below the graph. */
function described(node, root, view, unit, compared, frames) {
  const parts = [make('b', {}, node.name)];
  const places = [...new Set([...node.frames].map((number) => place(frames[number])).filter(Boolean))];
  if (places.length > 0) {
    parts.push(make('span', {}, places.slice(0, 3).join(', ') + (places.length > 3 ? ` and ${places.length - 3} more` : '')));
  }
  if (node.module) parts.push(make('span', { class: 'faint', title: node.module }, base(node.module)));
  parts.push(make('span', {}, `${amount(node[view], unit)}, ${percent(node[view], root[view])}`));
  if (compared) {
    const change = node.now - node.before;
    parts.push(make('span', {}, `${amount(node.before, unit)} → ${amount(node.now, unit)} (${signed(amount(change, unit), change)})`));
  }
  return parts;
}

