// The WebSocket client: frames in both directions, and the ends of a connection (RFC 6455).

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FrameReader, PING, PONG, TEXT, encodeFrame } from "../src/frames.js";
import { Http } from "../src/http.js";
import { connect } from "../src/websocket.js";
import { FakeServer, serverFrame } from "../testing/fake-server.js";
import { Queue } from "../testing/queue.js";

/** Removes the mask of a client's frame. */
function unmasked(frame) {
  const length = frame[1] & 0x7f;
  const header = { 126: 4, 127: 10 }[length] ?? 2;
  const payload = Buffer.from(frame.subarray(header + 4));
  for (let at = 0; at < payload.length; at++) payload[at] ^= frame[header + (at & 3)];
  return { header: frame.subarray(0, header), payload };
}

describe("a frame of the client", () => {
  for (const length of [0, 1, 2, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 100_003]) {
    it(`of ${length} bytes has the shortest header and is masked`, () => {
      const text = "é".repeat(length >> 1) + "x".repeat(length & 1);
      const frame = encodeFrame(TEXT, text);
      assert.equal(frame[0], 0x81);
      assert.equal(frame[1] & 0x80, 0x80);
      const { header, payload } = unmasked(frame);
      assert.equal(payload.toString(), text);
      const expected = length < 126 ? [2, length] : length < 65_536 ? [4, header.readUInt16BE(2)] : [10, Number(header.readBigUInt64BE(2))];
      assert.deepEqual([header.length, length], expected);
    });
  }

  it("has a mask of its own", () => {
    const masks = new Set();
    for (let count = 0; count < 3_000; count++) masks.add(encodeFrame(TEXT, "").subarray(2).toString("hex"));
    assert.ok(masks.size > 2_990);
  });
});

describe("the reader", () => {
  const read = (bytes, step = bytes.length) => {
    const seen = [];
    const reader = new FrameReader({
      maxMessage: 200_000,
      onMessage: (text) => seen.push(text),
      onControl: (opcode, payload) => seen.push([opcode, payload.toString()]),
    });
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
    return seen;
  };
  const text = (value, options) => serverFrame(TEXT, Buffer.from(value), options);

  it("puts messages together however the bytes are cut", () => {
    const long = "ü".repeat(40_000);
    const bytes = Buffer.concat([text("a"), text(""), text("b".repeat(300)), serverFrame(PING, Buffer.from("p")), text(long)]);
    const expected = ["a", "", "b".repeat(300), [PING, "p"], long];
    for (const step of [1, 2, 3, 7, 1_000, bytes.length]) assert.deepEqual(read(bytes, step), expected);
  });

  it("joins fragments, also when a character is cut and a ping comes in between", () => {
    const bytes = Buffer.from("für");
    const frames = [
      serverFrame(TEXT, bytes.subarray(0, 2), { fin: 0 }),
      serverFrame(PING, Buffer.alloc(0)),
      serverFrame(0, bytes.subarray(2, 3), { fin: 0 }),
      serverFrame(0, bytes.subarray(3)),
    ];
    assert.deepEqual(read(Buffer.concat(frames)), [[PING, ""], "für"]);
  });

  const violations = [
    ["a reserved bit", 1002, Buffer.from([0xc1, 0])],
    ["a mask", 1002, Buffer.from([0x81, 0x80, 1, 2, 3, 4])],
    ["an unknown opcode", 1002, Buffer.from([0x83, 0])],
    ["a continuation of nothing", 1002, serverFrame(0, Buffer.alloc(1))],
    ["a new message before the end of another", 1002, Buffer.concat([text("a", { fin: 0 }), text("b")])],
    ["a fragmented ping", 1002, Buffer.from([0x09, 0])],
    ["a long ping", 1002, serverFrame(PING, Buffer.alloc(126))],
    ["a binary message", 1003, serverFrame(2, Buffer.alloc(1))],
    ["invalid UTF-8", 1007, serverFrame(TEXT, Buffer.from([0xff]))],
    ["a message that is too big", 1009, serverFrame(TEXT, Buffer.alloc(200_001))],
    ["fragments that are too big together", 1009, Buffer.concat([serverFrame(TEXT, Buffer.alloc(150_000), { fin: 0 }), serverFrame(0, Buffer.alloc(150_000))])],
    ["a length beyond all measure", 1009, Buffer.from([0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255])],
  ];
  for (const [what, code, bytes] of violations) {
    it(`refuses ${what}`, () => assert.throws(() => read(bytes), { code }));
  }
});

describe("a connection", () => {
  async function connected(t) {
    const server = await FakeServer.start(t);
    const socket = await connect(new Http(server.url, {}), "/socket", { protocol: "x", timeoutMs: 10_000 });
    const [texts, closes] = [new Queue("text"), new Queue("close")];
    socket.start({ onText: (text) => texts.push(text), onClose: (code, reason) => closes.push([code, reason]) });
    return { server, socket, texts, closes, peer: await server.connections.next() };
  }

  it("answers pings with their payload", async (t) => {
    const { peer } = await connected(t);
    peer.socket.write(serverFrame(PING, Buffer.from("are you there?")));
    const { opcode, payload } = await peer.controls.next();
    assert.deepEqual([opcode, payload.toString()], [PONG, "are you there?"]);
  });

  it("reports the code and the reason of the server's close, and answers it", async (t) => {
    const { peer, closes } = await connected(t);
    peer.close(1001, "stopping");
    assert.deepEqual(await closes.next(), [1001, "stopping"]);
    assert.equal((await peer.controls.next()).payload.readUInt16BE(), 1001);
  });

  it("reports 1006 when it breaks", async (t) => {
    const { peer, closes } = await connected(t);
    peer.drop();
    assert.equal((await closes.next())[0], 1006);
  });

  it("fails with the code of the violation", async (t) => {
    const { peer, closes } = await connected(t);
    peer.socket.write(serverFrame(TEXT, Buffer.from([0xff])));
    assert.deepEqual(await closes.next(), [1007, "a text message is not UTF-8"]);
    assert.equal((await peer.controls.next()).payload.readUInt16BE(), 1007);
  });

  it("loses no message that arrives with the handshake", async (t) => {
    const server = await FakeServer.start(t);
    const opened = connect(new Http(server.url, {}), "/socket", { protocol: "x", timeoutMs: 10_000 });
    const peer = await server.connections.next();
    peer.send("first", "second");
    const socket = await opened;
    const texts = new Queue("text");
    socket.start({ onText: (text) => texts.push(text), onClose: () => {} });
    assert.deepEqual([await texts.next(), await texts.next()], ['"first"', '"second"']);
  });

  it("is refused with the problem of the server", async (t) => {
    const server = await FakeServer.start(t);
    server.refusals.push({ status: 401, body: { code: "unauthorized", detail: "a token is needed" } });
    const refused = connect(new Http(server.url, {}), "/socket", { protocol: "x", timeoutMs: 10_000 });
    await assert.rejects(refused, { code: "unauthorized", status: 401 });
  });

  it("is unreachable where nobody listens", async (t) => {
    const server = await FakeServer.start(t);
    server.close();
    const refused = connect(new Http(server.url, {}), "/socket", { protocol: "x", timeoutMs: 10_000 });
    await assert.rejects(refused, { code: "unreachable", status: 0 });
  });
});
