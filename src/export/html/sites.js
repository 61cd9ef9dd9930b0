// The table of sites: sorted by a click on a heading, with the whole stack behind each row.

/** Rows shown before one asks for more. */
const ROWS = 100;

/** What a verdict looks like. */
function gravity(verdict) {
  if (/^(LOST|INDIRECT|CYCLE)/.test(verdict)) return 'bad';
  if (/^POSSIBLE|GROWING/.test(verdict)) return 'doubtful';
  return 'calm';
}

/** The columns: heading, value to sort by, and what stands in the cell. */
function columns(sites) {
  const number = (title, value, text, hint) => ({ title, value, text, hint, kind: 'number' });
  const has = (name) => sites.some((site) => site[name] !== null);
  return [
    { title: 'Verdict', value: (s) => s.verdict, text: (s) => make('span', { class: `verdict ${gravity(s.verdict)}` }, s.verdict) },
    number('Live', (s) => s.bytes, (s) => make('span', { title: `${count(s.bytes)} bytes` }, bytes(s.bytes))),
    has('grown') && number('Change', (s) => (s.grown ? s.grown[0] : 0), change, 'Since the earlier snapshot'),
    number('Blocks', (s) => s.blocks, (s) => count(s.blocks)),
    number('Allocated', (s) => s.allocated, (s) => count(s.allocated)),
    number('Freed', (s) => s.freed, (s) => count(s.freed)),
    has('rate') && number('Rate', (s) => s.rate ?? 0, (s) => (s.rate === null ? '' : `${round(s.rate)}/s`), 'Live blocks more per second'),
    has('age') && number('Age', (s) => (s.age ? s.age[1] : 0), age, 'Of the youngest and the oldest live block'),
    { title: 'Site', value: (s) => s.called?.name ?? '', text: (s) => called(s), kind: 'site' },
  ].filter(Boolean);
}

function change(site) {
  if (!site.grown) return '';
  const [size, blocks] = site.grown;
  const kind = size > 0 ? 'grown' : size < 0 ? 'shrunk' : '';
  return make('span', { class: kind, title: `${signed(count(blocks), blocks)} blocks` }, signed(bytes(size), size));
}

function age(site) {
  if (!site.age) return '';
  const [from, to] = site.age.map(seconds);
  return from === to ? to : `${from} – ${to}`;
}

function called(site) {
  if (!site.called) return make('span', { class: 'faint' }, 'no stack');
  // Without a line, the module tells where it is.
  const module = base(site.called.module ?? '');
  const where = place(site.called) || (site.called.name.startsWith(`${module}+`) ? '' : module);
  return make('span', {}, make('code', {}, site.called.name), ' ', make('span', { class: 'faint' }, where));
}

/** The table. `show` is called with a stack to be shown in the flame graph. */
function sites(data, show) {
  const rows = data.sites.map((site, number) => ({
    ...site,
    number,
    called: data.frames[site.stack[site.called] ?? site.stack[0]],
    open: false,
  }));
  const head = columns(rows);
  let order = null;
  let limit = ROWS;
  let matching = null;

  const headings = head.map((column) => {
    const button = make('button', { type: 'button', title: column.hint ?? null }, column.title);
    const cell = make('th', { scope: 'col', class: column.kind ?? null }, button);
    button.addEventListener('click', () => {
      const largestFirst = column.kind === 'number';
      const down = order?.column === column ? !order.down : largestFirst;
      order = { column, down };
      headings.forEach((other) => other.removeAttribute('aria-sort'));
      cell.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      draw();
    });
    return cell;
  });
  byId('table').tHead.append(make('tr', {}, ...headings));
  if (rows.length === 0) {
    byId('table').hidden = true;
    byId('table').after(make('p', { class: 'nothing' }, 'Nothing is left over.'));
  }

  const found = (site) => !matching || [site.verdict, ...site.notes].some(matching.matches)
    || site.stack.some((number) => matching.frames[number]);
  const draw = () => {
    const left = rows.filter(found);
    if (order) left.sort((a, b) => compare(order.column.value(a), order.column.value(b), order.down) || a.number - b.number);
    const body = left.slice(0, limit).flatMap((site) => row(site, head, data, show, draw));
    if (left.length === 0 && rows.length > 0) {
      body.push(make('tr', {}, make('td', { class: 'nothing', colspan: head.length }, 'No site matches the search.')));
    }
    byId('table').tBodies[0].replaceChildren(...body);
    const more = left.length - limit;
    byId('further').hidden = more <= 0;
    byId('further').textContent = `Show ${count(Math.min(more, 10 * ROWS))} more of ${count(left.length)}`;
    return left.length;
  };
  byId('further').addEventListener('click', () => {
    limit += 10 * ROWS;
    draw();
  });
  // On paper there is no way to ask for more.
  let before = limit;
  addEventListener('beforeprint', () => {
    before = limit;
    limit = Infinity;
    draw();
  });
  addEventListener('afterprint', () => {
    limit = before;
    draw();
  });
  return {
    draw: (wanted) => {
      matching = wanted;
      return draw();
    },
    total: rows.length,
  };
}

function compare(a, b, down) {
  const order = a < b ? -1 : a > b ? 1 : 0;
  return down ? -order : order;
}

/** The row of a site, and the one with its stack when that is open. */
function row(site, head, data, show, draw) {
  const cells = head.map((column) => make('td', { class: column.kind ?? null }, column.text(site)));
  const fold = make('button', {
    type: 'button', class: 'fold', 'aria-expanded': String(site.open), 'aria-label': 'Stack',
  });
  cells[0].prepend(fold);
  const line = make('tr', { class: 'site', 'data-site': site.number }, ...cells);
  line.addEventListener('click', () => {
    if (String(getSelection())) return;
    site.open = !site.open;
    draw();
    document.querySelector(`[data-site="${site.number}"] .fold`)?.focus();
  });
  return site.open ? [line, make('tr', { class: 'stack' }, make('td', { colspan: head.length }, opened(site, data, show)))] : [line];
}

/** The stack of a site, innermost call on top, and what was noted on it. */
function opened(site, data, show) {
  const calls = site.stack.map((number) => {
    const frame = data.frames[number];
    return make('li', { class: frame === site.called ? 'called' : null },
      make('code', {}, frame.name), ' ',
      make('span', { title: frame.file }, place(frame)), ' ',
      frame.inlined ? make('span', { class: 'faint' }, '(inlined) ') : null,
      frame.module ? make('span', { class: 'faint', title: frame.module }, base(frame.module)) : null);
  });
  const notes = site.notes.map((note) => make('p', {}, note));
  const button = make('button', { type: 'button' }, 'Show in the flame graph');
  button.addEventListener('click', () => show(site.stack));
  return make('div', {}, ...notes, make('ol', {}, ...calls), site.stack.length > 0 ? button : null);
}

