// Reads Socket.IO packets, each a JSON string on a line, and prints what the official parser makes of each:
// {"error"} or {"type","nsp","id","name","data"}, the data as JSON in a string. Attachments follow each packet as far as
// it asks for them, one byte each; data with attachments are not printed.
import { Decoder } from 'socket.io-parser';
import { createInterface } from 'node:readline';

// Other parsers of JSON refuse half a surrogate pair.
const wellFormed = (text) => text.replace(/[\ud800-\udfff]/gu, '\ufffd');

function parse(text) {
  const decoder = new Decoder();
  let packet;
  decoder.on('decoded', (decoded) => { packet = decoded; });
  let sent = 0;
  try {
    decoder.add(text);
    while (!packet && sent < 20) decoder.add(Buffer.from([sent++]));
  } catch (error) {
    return { error: error.message };
  }
  const name = Array.isArray(packet.data) ? wellFormed(String(packet.data[0])) : undefined;
  const data = sent ? undefined : JSON.stringify(packet.data);
  return { type: packet.type, nsp: packet.nsp, id: packet.id, name, data };
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(parse(JSON.parse(line)))}\n`);
}
