// Follows the URL in its first argument with an EventSource and prints what it is told, a JSON object a line:
// {"type","data","id"} for events, {"type":"open"}, {"type":"error"} before it reconnects by itself, and
// {"type":"closed"} when it has given up. Ends when its standard input ends.
import { EventSource } from 'eventsource';

const tell = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);
const source = new EventSource(process.argv[2]);

source.onopen = () => tell({ type: 'open' });
source.onmessage = ({ type, data, lastEventId }) => tell({ type, data: JSON.parse(data), id: lastEventId });
for (const name of ['caught_up', 'gap', 'reset', 'unverified', 'ended']) {
  source.addEventListener(name, ({ type, data, lastEventId }) => tell({ type, data: JSON.parse(data), id: lastEventId }));
}
source.onerror = () => tell({ type: source.readyState === EventSource.CLOSED ? 'closed' : 'error' });

process.stdin.on('end', () => process.exit(0)).resume();
