// The official Socket.IO client, driven by lines of JSON on standard input, telling what happens on standard output, an
// object a line. Binary stands in both as {"$bin":[…]}. Arguments: the URL, and the options as JSON.
//
// In:  {"do":"emit","event","args","ack"?}  {"do":"volatile",…}  {"do":"disconnect"}  {"do":"connect"}
//      {"do":"cut"}: the transport breaks without a goodbye
//      {"do":"forget"}: as if the page was loaded anew: the library knows nothing of its session
//      {"do":"claim","pid","offset"}: as if it had had this session
// Out: {"type":"connect","id","recovered","pid","transport"}  {"type":"disconnect","reason"}
//      {"type":"connect_error","message","data"}  {"type":"event","name","args","offset"}  {"type":"ack","ack","args"}
//      {"type":"upgrade"}
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const options = JSON.parse(process.argv[3] ?? '{}');
const socket = io(process.argv[2], { reconnectionDelay: 50, reconnectionDelayMax: 200, ...options });

function shown(value) {
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { $bin: [...value] };
  if (value instanceof ArrayBuffer) return { $bin: [...new Uint8Array(value)] };
  if (Array.isArray(value)) return value.map(shown);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shown(inner)]));
  }
  return value;
}

function meant(value) {
  if (Array.isArray(value)) return value.map(meant);
  if (value && typeof value === 'object') {
    if (Array.isArray(value.$bin)) return Buffer.from(value.$bin);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, meant(inner)]));
  }
  return value;
}

const tell = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

socket.on('connect', () => {
  const { id, recovered, _pid: pid } = socket;
  const { transport } = socket.io.engine;
  tell({ type: 'connect', id, recovered: Boolean(recovered), pid, transport: transport.name });
});
// The transport may have changed before the namespace has let the client in.
socket.io.on('open', () => socket.io.engine.once('upgrade', () => tell({ type: 'upgrade' })));
socket.on('disconnect', (reason) => tell({ type: 'disconnect', reason }));
socket.on('connect_error', ({ message, data }) => tell({ type: 'connect_error', message, data }));
socket.onAny((name, ...args) => {
  const offset = typeof args.at(-1) === 'string' && args.length > 1 ? args.pop() : undefined;
  tell({ type: 'event', name, args: shown(args), offset });
});

const commands = {
  emit({ event, args, ack }) {
    const callback = (...answer) => tell({ type: 'ack', ack, args: shown(answer) });
    socket.emit(event, ...meant(args), ...(ack === undefined ? [] : [callback]));
  },
  volatile({ event, args }) {
    socket.volatile.emit(event, ...meant(args));
  },
  emit_and_leave({ event, args }) {
    socket.emit(event, ...meant(args));
    socket.disconnect();
  },
  disconnect: () => socket.disconnect(),
  connect: () => socket.connect(),
  cut: () => socket.io.engine.transport.onClose(),
  forget() {
    socket._pid = undefined;
    socket._lastOffset = undefined;
  },
  claim({ pid, offset }) {
    socket._pid = pid;
    socket._lastOffset = offset;
  },
};

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on('close', () => process.exit(0));
