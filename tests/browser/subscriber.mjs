// A misbehaving subscriber on Node's ws: node subscriber.mjs BASE QUERY CURSOR SEED
// Prints {"type":"connect"} and then each message as received. It closes or drops its connection, stops reading, stays
// away, and always resumes at the last cursor that it received.
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

const [base, query, start, seed] = process.argv.slice(2);
let cursor = start;
let state = Number(BigInt(seed) % 4294967291n);

/** Returns a random number below `end`; the sequence repeats for the same seed (mulberry32). */
function dice(end) {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return (((t ^ (t >>> 14)) >>> 0) / 4294967296) * end;
}

/** Runs one connection: prints its messages and keeps the last cursor. */
function listen() {
  let patience = dice(1) < 0.4 ? Math.ceil(dice(60)) : Infinity;
  let stall = dice(1) < 0.4 ? Math.ceil(dice(40)) : Infinity;
  const url = `${base.replace("http", "ws")}/api/v1/ws?${query}&after=${cursor}`;
  const socket = new WebSocket(url, ["cortado.v1+json"], { perMessageDeflate: false });
  return new Promise((ended) => {
    socket.on("open", () => console.log('{"type":"connect"}'));
    socket.on("message", (data, isBinary) => {
      if (patience <= 0) return; // a message that was in transit
      if (isBinary) throw new Error("a binary message");
      const text = data.toString();
      const message = JSON.parse(text);
      cursor = message.cursor ?? message.to ?? cursor;
      console.log(text);
      if (--stall === 0) {
        socket.pause();
        setTimeout(() => socket.resume(), dice(1500));
      }
      if (--patience === 0) dice(1) < 0.5 ? socket.terminate() : socket.close(1000);
    });
    socket.on("error", (error) => console.error(error.message));
    socket.on("close", ended);
  });
}

for (;;) {
  await listen();
  await sleep(dice(1) < 0.1 ? dice(6000) : 20);
}
