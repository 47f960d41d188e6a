// An official Engine.IO client, node engineio_client.mjs URL OPTIONS, which does what it is told, a JSON object a line on
// the standard input, and tells what happens to it, a JSON object a line on the standard output. Ends with its input.
//
// Orders: {"text"}, {"hex"}: send this; {"close": true}: say goodbye.
// Told: {"told": "open", "transport"}, "text" or "hex" {value}, "ping", "upgrade" {transport}, "error" {message},
// "close" {reason}.
import { Socket } from 'engine.io-client';
import { createInterface } from 'node:readline';

const tell = (told, more = {}) => process.stdout.write(`${JSON.stringify({ told, ...more })}\n`);
const [, , url, options] = process.argv;
const socket = new Socket(url, JSON.parse(options));

socket.on('open', () => tell('open', { transport: socket.transport.name }));
socket.on('message', (data) => {
  if (typeof data === 'string') return tell('text', { value: data });
  const bytes = data instanceof ArrayBuffer ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  tell('hex', { value: bytes.toString('hex') });
});
socket.on('ping', () => tell('ping'));
socket.on('upgrade', ({ name }) => tell('upgrade', { transport: name }));
socket.on('error', ({ message }) => tell('error', { message }));
socket.on('close', (reason) => tell('close', { reason }));

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const order = JSON.parse(line);
  if (order.close) socket.close();
  else socket.send(order.hex === undefined ? order.text : Buffer.from(order.hex, 'hex'));
});
lines.on('close', () => process.exit(0));
