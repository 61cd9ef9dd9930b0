// The calls of a trace, as they stand in the page: columns of numbers, compressed.

/** The bytes behind base64. */
function decoded(text) {
  const raw = atob(text.trim());
  const bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at += 1) bytes[at] = raw.charCodeAt(at);
  return bytes;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

const FAILED = 1;
const OPEN = 2;
const LOST = 4;

/** The columns, in the order in which calls began. */
async function readCalls(head) {
  const buffer = await inflated(decoded(byId('calls').textContent));
  const n = head.calls;
  let at = 0;
  const column = (Type) => {
    const values = new Type(buffer, at, n);
    at += n * Type.BYTES_PER_ELEMENT;
    return values;
  };
  const calls = {
    n,
    start: column(Float64Array), duration: column(Float64Array),
    fn: column(Uint32Array), thread: column(Uint32Array), args: column(Uint32Array), result: column(Uint32Array),
    depth: column(Uint8Array), flags: column(Uint8Array),
  };
  calls.texts = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at)));
  return calls;
}

/** Calls by thread and depth, and what each function and each nesting took of its own. */
function arrange(head, calls) {
  const { n, start, duration, fn, thread, depth } = calls;
  const deepest = new Array(head.threads.length).fill(0);
  for (let i = 0; i < n; i += 1) if (depth[i] >= deepest[thread[i]]) deepest[thread[i]] = depth[i] + 1;
  const base = [];
  let rows = 0;
  for (const depths of deepest) {
    base.push(rows);
    rows += depths;
  }
  const first = new Uint32Array(rows + 1);
  for (let i = 0; i < n; i += 1) first[base[thread[i]] + depth[i] + 1] += 1;
  for (let row = 0; row < rows; row += 1) first[row + 1] += first[row];
  const order = new Uint32Array(n);
  const next = first.slice();
  const last = new Int32Array(rows).fill(-1);
  const own = Float64Array.from(duration);
  const nodes = [{ parent: -1, fn: -1, own: 0 }];
  const known = new Map();
  const nodeOf = new Uint32Array(n);
  const width = head.functions.length;
  for (let i = 0; i < n; i += 1) {
    const row = base[thread[i]] + depth[i];
    order[next[row]] = i;
    next[row] += 1;
    const around = depth[i] > 0 ? last[row - 1] : -1;
    const isWithin = around >= 0 && start[around] + duration[around] >= start[i];
    if (isWithin) own[around] -= duration[i];
    last[row] = i;
    const parent = isWithin ? nodeOf[around] : 0;
    const key = parent * width + fn[i];
    let node = known.get(key);
    if (node === undefined) {
      node = nodes.length;
      nodes.push({ parent, fn: fn[i], own: 0 });
      known.set(key, node);
    }
    nodeOf[i] = node;
  }
  for (let i = 0; i < n; i += 1) nodes[nodeOf[i]].own += Math.max(own[i], 0);
  return { deepest, base, rows, first, order, own, nodes };
}

/** The line of a call, as a trace has it. */
function line(head, calls, i) {
  const [name] = head.functions[calls.fn[i]];
  const ending = calls.flags[i] & OPEN ? ' still open' : calls.flags[i] & LOST ? ' does not return' : ` = ${calls.texts[calls.result[i]]}`;
  return `${name}(${calls.texts[calls.args[i]]})${ending}`;
}
