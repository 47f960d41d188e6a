// Official Socket.IO clients that do what they are told, a JSON object a line on the standard input, and tell what
// happens to them, a JSON object a line on the standard output. Ends when its standard input ends.
//
// Orders: {"do", "socket", …}
//   open {url, options}             opens a socket under the name `socket`; those of one URL share a connection
//   emit {args, ack?, timeout?, volatile?}   `ack`: any value, under which the acknowledgement is told
//   reply {event, args}             acknowledges later events of this name with these arguments
//   connect, disconnect             as the client's methods
//   cut                             destroys the connection below, so that the client sees a loss
//   state                           tells "state"
// Told: {"socket", "told", …}: connect {id, recovered}, event {args, ack}, ack {ack, args | error}, disconnect {reason},
//   connect_error {message, data}, reconnect_attempt, reconnect, ping, transport {name}, state {connected, active, transport}.
// Binary is {"$hex": "…"}, in both directions.
import { io } from 'socket.io-client';
import { createInterface } from 'node:readline';

const sockets = new Map();

function decode(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value.$hex === 'string') return Buffer.from(value.$hex, 'hex');
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, decode(inner)]));
}

function encode(value) {
  if (ArrayBuffer.isView(value)) return { $hex: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') };
  if (value instanceof ArrayBuffer) return { $hex: Buffer.from(value).toString('hex') };
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(encode);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, encode(inner)]));
}

function tell(name, told, more = {}) {
  process.stdout.write(`${JSON.stringify({ socket: name, told, ...more })}\n`);
}

function open({ socket: name, url, options }) {
  const socket = io(url, options);
  const replies = new Map();
  sockets.set(name, { socket, replies });
  socket.on('connect', () => tell(name, 'connect', { id: socket.id, recovered: socket.recovered === true }));
  socket.on('disconnect', (reason) => tell(name, 'disconnect', { reason }));
  socket.on('connect_error', ({ message, data }) => tell(name, 'connect_error', { message, data }));
  socket.io.on('reconnect_attempt', () => tell(name, 'reconnect_attempt'));
  socket.io.on('ping', () => tell(name, 'ping'));
  socket.io.on('reconnect', () => tell(name, 'reconnect'));
  const watch = () => {
    socket.io.engine.on('upgrade', (transport) => tell(name, 'transport', { name: transport.name }));
  };
  if (socket.io.engine) watch();
  socket.io.on('open', watch);
  socket.onAny((event, ...args) => {
    const acknowledge = typeof args.at(-1) === 'function' ? args.pop() : undefined;
    tell(name, 'event', { args: encode([event, ...args]), ack: acknowledge !== undefined });
    if (acknowledge && replies.has(event)) acknowledge(...replies.get(event));
  });
}

function emit({ socket: name, args, ack, timeout, volatile }) {
  let { socket } = sockets.get(name);
  if (timeout !== undefined) socket = socket.timeout(timeout);
  if (volatile) socket = socket.volatile;
  const values = decode(args);
  if (ack === undefined) return socket.emit(...values);
  return socket.emit(...values, (...answer) => {
    if (timeout === undefined) return tell(name, 'ack', { ack, args: encode(answer) });
    const [error, ...rest] = answer;
    return error ? tell(name, 'ack', { ack, error: error.message }) : tell(name, 'ack', { ack, args: encode(rest) });
  });
}

const orders = {
  open,
  emit,
  reply: ({ socket: name, event, args }) => sockets.get(name).replies.set(event, decode(args)),
  connect: ({ socket: name }) => sockets.get(name).socket.connect(),
  disconnect: ({ socket: name }) => sockets.get(name).socket.disconnect(),
  cut: ({ socket: name }) => {
    const { engine } = sockets.get(name).socket.io;
    const { transport } = engine;
    // A WebSocket is destroyed without a close frame; a poll fails.
    if (transport.ws) transport.ws.terminate();
    else transport.onError('cut');
  },
  state: ({ socket: name }) => {
    const { socket } = sockets.get(name);
    const transport = socket.io.engine?.transport?.name;
    tell(name, 'state', { connected: socket.connected, active: socket.active, transport });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  orders[order.do](order);
}
process.exit(0);
