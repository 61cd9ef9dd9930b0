// The table of functions.

const COLUMNS = [
  ['name', 'Function'], ['module', 'Module'], ['calls', 'Calls'], ['failed', 'Failed'], ['time', 'Time'], ['own', 'Own time'],
  ['mean', 'Mean'], ['most', 'Longest'],
];
const PAGE = 200;

function functionRows(head, calls, arranged) {
  const rows = head.functions.map(([name, module], fn) => ({ fn, name, module, calls: 0, failed: 0, time: 0, own: 0, mean: 0, most: 0, longest: -1 }));
  for (let i = 0; i < calls.n; i += 1) {
    const row = rows[calls.fn[i]];
    row.calls += 1;
    row.failed += calls.flags[i] & FAILED;
    row.time += calls.duration[i];
    row.own += Math.max(arranged.own[i], 0);
    if (row.longest < 0 || calls.duration[i] > row.most) {
      row.most = calls.duration[i];
      row.longest = i;
    }
  }
  for (const row of rows) row.mean = row.calls > 0 ? row.time / row.calls : 0;
  return rows;
}

/** `reveal` is called with a call to be shown. */
function functionTable(rows, reveal) {
  let by = 'own';
  let falling = true;
  let most = PAGE;
  let matches = null;
  const head = make('tr', {}, ...COLUMNS.map(([key, title]) => {
    const button = make('button', { type: 'button' }, title);
    button.addEventListener('click', () => {
      falling = by === key ? !falling : key !== 'name' && key !== 'module';
      by = key;
      draw();
    });
    return make('th', { scope: 'col', 'data-key': key, class: key === 'name' || key === 'module' ? null : 'number' }, button);
  }));
  byId('table').tHead.append(head);
  const cell = (key, row) => {
    if (key === 'name') return make('td', { class: 'name' }, make('code', {}, row.name));
    if (key === 'module') return make('td', {}, row.module);
    const isCount = key === 'calls' || key === 'failed';
    return make('td', { class: 'number' }, isCount ? count(row[key]) : seconds(row[key] / 1e9));
  };
  function draw() {
    const found = rows.filter((row) => row.calls > 0 && (!matches || matches(row.name) || matches(row.module)));
    const sign = falling ? -1 : 1;
    found.sort((a, b) => sign * (a[by] < b[by] ? -1 : a[by] > b[by] ? 1 : 0));
    for (const th of head.children) {
      th.setAttribute('aria-sort', th.dataset.key !== by ? 'none' : falling ? 'descending' : 'ascending');
    }
    byId('table').tBodies[0].replaceChildren(...found.slice(0, most).map((row) => {
      const element = make('tr', { class: 'site', title: 'Show its longest call' }, ...COLUMNS.map(([key]) => cell(key, row)));
      element.addEventListener('click', () => reveal(row.longest));
      return element;
    }));
    const rest = found.length - most;
    byId('further').hidden = rest <= 0;
    byId('further').textContent = `${count(rest)} more`;
  }
  byId('further').addEventListener('click', () => {
    most += PAGE * 5;
    draw();
  });
  draw();
  return (wanted) => {
    matches = wanted;
    draw();
  };
}
