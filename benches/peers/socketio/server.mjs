// Socket.IO on Node.js with one of its Redis adapters, one server of a cluster.
//
//   node server.mjs --adapter redis-streams|redis --port 3000 --redis redis://127.0.0.1:6379|unix:///path
//                   [--ping-interval 25000] [--ping-timeout 20000]
//
// A stream is a room. A socket subscribes with `subscribe {stream | streams}`; events come in by `publish {stream,
// event?, data}` on a socket, or line by line over `POST /v1/streams/NAME` as NDJSON, and go out through the adapter,
// so that every server of the cluster delivers them. Recovery is on, for two minutes, with the Redis Streams adapter, and
// unknown to the other, which uses Pub/Sub. Whatever it is asked, it does in the way that the documentation of
// Socket.IO shows. SIGTERM closes it in an orderly way.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { createAdapter as createPubSubAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const { values: args } = parseArgs({
  options: {
    adapter: { type: "string" },
    port: { type: "string" },
    redis: { type: "string" },
    "ping-interval": { type: "string", default: "25000" },
    "ping-timeout": { type: "string", default: "20000" },
  },
});

// The adapter keeps about 10,000 entries by default, and what is trimmed cannot be recovered. A run has more; that it
// is lost then is not what is to be shown.
const ENTRIES_KEPT = 10_000_000;
const RECOVERY_MS = 2 * 60 * 1000;
const DRAIN_MS = 500;
const DRAIN_MS_MAX = 10_000; // closing waits for Redis, which may be away

const where = args.redis.startsWith("unix://") ? { path: args.redis.slice("unix://".length) } : {};
const redis = createClient({
  url: where.path ? undefined : args.redis,
  socket: { ...where, reconnectStrategy: () => 50 },
});
redis.on("error", () => {}); // it comes back by itself
await redis.connect();
const connections = [redis];

async function adapterOptions() {
  switch (args.adapter) {
    case "redis-streams":
      return {
        adapter: createStreamsAdapter(redis, { maxLen: ENTRIES_KEPT }),
        connectionStateRecovery: { maxDisconnectionDuration: RECOVERY_MS },
      };
    case "redis": {
      const subscriber = redis.duplicate();
      subscriber.on("error", () => {});
      await subscriber.connect();
      connections.push(subscriber);
      return { adapter: createPubSubAdapter(redis, subscriber) };
    }
    default:
      throw new Error(`--adapter is redis-streams or redis, not ${args.adapter}`);
  }
}

// When Redis is away, the adapter's own commands are rejected with nobody to hear it, which would end the process.
process.on("unhandledRejection", (error) => console.error(`${error}`));

const http = createServer(handle);
const io = new Server(http, {
  ...(await adapterOptions()),
  pingInterval: Number(args["ping-interval"]),
  pingTimeout: Number(args["ping-timeout"]),
});

io.on("connection", (socket) => {
  socket.on("subscribe", async ({ stream, streams }, acknowledge) => {
    await socket.join(streams ?? [stream]);
    acknowledge?.({ ok: true });
  });
  socket.on("unsubscribe", async ({ stream }, acknowledge) => {
    await socket.leave(stream);
    acknowledge?.({ ok: true });
  });
  socket.on("publish", ({ stream, event, data }, acknowledge) => {
    io.to(stream).emit(event ?? "message", data);
    acknowledge?.({ ok: true });
  });
});

async function handle(request, response) {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname === "/readyz") {
    response.writeHead(redis.isReady ? 200 : 503).end();
  } else if (request.method === "POST" && url.pathname.startsWith("/v1/streams/")) {
    const room = decodeURIComponent(url.pathname.slice("/v1/streams/".length));
    await publishLines(room, request, response);
  } else {
    response.writeHead(404).end();
  }
}

// `emit` tells neither whether nor where an event was stored, so the answer to a line only says that it was taken.
async function publishLines(room, request, response) {
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.flushHeaders();
  try {
    for await (const line of createInterface({ input: request })) {
      const { event, data } = JSON.parse(line);
      io.to(room).emit(event ?? "message", data);
      response.write('{"id":"0-0"}\n');
    }
    response.end();
  } catch {
    response.destroy(); // the connection was cut
  }
}

process.once("SIGTERM", async () => {
  setTimeout(() => http.closeAllConnections(), DRAIN_MS); // a request may be one that never ends
  setTimeout(() => process.exit(0), DRAIN_MS_MAX).unref();
  await io.close(); // stores the sessions of its sockets
  for (const connection of connections) await connection.close();
  process.exit(0);
});

http.listen(Number(args.port), "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${http.address().port}`));
