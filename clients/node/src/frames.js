// WebSocket frames (RFC 6455, section 5), as a client writes and reads them.

import { isUtf8 } from "node:buffer";
import { randomFillSync } from "node:crypto";

export const TEXT = 1;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

const CONTINUATION = 0;
const BINARY = 2;
const FIN = 0x80;
const RESERVED = 0x70;
const MASKED = 0x80;
const MAX_CONTROL = 125;

/** Room for the longest header of a client's frame (14 bytes), so that the payload after it is aligned to words. */
const HEADER_ROOM = 16;

/** Random bytes for masks, which are drawn in bulk because each draw is a system call. */
const masks = Buffer.allocUnsafeSlow(4096);
let masksUsed = masks.length;

function drawMask(target, at) {
  if (masksUsed === masks.length) {
    randomFillSync(masks);
    masksUsed = 0;
  }
  masks.copy(target, at, masksUsed, masksUsed + 4);
  masksUsed += 4;
}

/**
 * Encodes one whole message or control frame.
 * @param {number} opcode
 * @param {string | Buffer} payload
 * @returns {Buffer}
 */
export function encodeFrame(opcode, payload) {
  const length = typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
  // A buffer of its own, outside of the pool, begins at a multiple of four, which the view by words needs.
  const frame = Buffer.allocUnsafeSlow(HEADER_ROOM + length);
  if (typeof payload === "string") frame.write(payload, HEADER_ROOM);
  else payload.copy(frame, HEADER_ROOM);
  const start = HEADER_ROOM - headerLength(length);
  frame[start] = FIN | opcode;
  if (length <= MAX_CONTROL) {
    frame[start + 1] = MASKED | length;
  } else if (length < 0x10000) {
    frame[start + 1] = MASKED | 126;
    frame.writeUInt16BE(length, start + 2);
  } else {
    frame[start + 1] = MASKED | 127;
    frame.writeBigUInt64BE(BigInt(length), start + 2);
  }
  drawMask(frame, HEADER_ROOM - 4);
  applyMask(frame, length);
  return frame.subarray(start);
}

function headerLength(length) {
  if (length <= MAX_CONTROL) return 6;
  return length < 0x10000 ? 8 : 14;
}

/** Masks the payload, four bytes at a time; the mask stands before it. */
function applyMask(frame, length) {
  const words = new Uint32Array(frame.buffer, frame.byteOffset + HEADER_ROOM - 4, (length >>> 2) + 1);
  const mask = words[0];
  for (let at = 1; at < words.length; at++) words[at] ^= mask;
  for (let at = length & ~3; at < length; at++) frame[HEADER_ROOM + at] ^= frame[HEADER_ROOM - 4 + (at & 3)];
}

/** A violation of the protocol; `code` is the close code with which the connection fails. */
export class FrameError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Puts messages together from the bytes that arrive. */
export class FrameReader {
  #pending = Buffer.alloc(0);
  /** The chunks after `#pending`, which are joined once they complete a frame, so that large frames are copied once. */
  #chunks = [];
  #chunksLength = 0;
  #needed = 2;
  #parts = [];
  #partsLength = 0;
  #maxMessage;
  #onMessage;
  #onControl;

  /**
   * @param {{maxMessage: number, onMessage: (text: string) => void, onControl: (opcode: number, payload: Buffer) => void}} options
   */
  constructor({ maxMessage, onMessage, onControl }) {
    this.#maxMessage = maxMessage;
    this.#onMessage = onMessage;
    this.#onControl = onControl;
  }

  /** Reads a chunk; throws `FrameError`. @param {Buffer} chunk */
  push(chunk) {
    this.#chunks.push(chunk);
    this.#chunksLength += chunk.length;
    if (this.#pending.length + this.#chunksLength < this.#needed) return;
    let buffer = this.#pending.length === 0 && this.#chunks.length === 1 ? chunk : Buffer.concat([this.#pending, ...this.#chunks]);
    this.#chunks = [];
    this.#chunksLength = 0;
    for (;;) {
      const used = this.#frame(buffer);
      if (used === 0) break;
      buffer = buffer.subarray(used);
    }
    this.#pending = buffer;
  }

  /** Reads one frame and returns its length, or 0 and sets `#needed` if it is incomplete. */
  #frame(buffer) {
    if (buffer.length < 2) return this.#wait(2);
    const opcode = buffer[0] & 0x0f;
    if (buffer[0] & RESERVED) throw new FrameError(1002, "a reserved bit is set");
    if (buffer[1] & MASKED) throw new FrameError(1002, "a frame of the server is masked");
    let length = buffer[1] & 0x7f;
    let header = 2;
    if (length === 126) {
      header = 4;
      if (buffer.length < header) return this.#wait(header);
      length = buffer.readUInt16BE(2);
    } else if (length === 127) {
      header = 10;
      if (buffer.length < header) return this.#wait(header);
      length = buffer.readUInt32BE(2) * 2 ** 32 + buffer.readUInt32BE(6);
    }
    if (this.#partsLength + length > this.#maxMessage) throw new FrameError(1009, "the message is too big");
    const end = header + length;
    if (opcode >= CLOSE && (length > MAX_CONTROL || !(buffer[0] & FIN))) {
      throw new FrameError(1002, "a control frame is too long or fragmented");
    }
    if (buffer.length < end) return this.#wait(end);
    this.#take(buffer[0], opcode, buffer.subarray(header, end));
    return end;
  }

  #wait(needed) {
    this.#needed = needed;
    return 0;
  }

  #take(first, opcode, payload) {
    if (opcode === CLOSE || opcode === PING || opcode === PONG) return this.#onControl(opcode, payload);
    if (opcode === BINARY) throw new FrameError(1003, "a binary message");
    if (opcode !== TEXT && opcode !== CONTINUATION) throw new FrameError(1002, `unknown opcode ${opcode}`);
    if ((opcode === CONTINUATION) !== this.#parts.length > 0) throw new FrameError(1002, "fragments are out of order");
    if (first & FIN) {
      const message = this.#parts.length === 0 ? payload : Buffer.concat([...this.#parts, payload]);
      this.#parts = [];
      this.#partsLength = 0;
      if (!isUtf8(message)) throw new FrameError(1007, "a text message is not UTF-8");
      this.#onMessage(message.toString());
    } else {
      this.#parts.push(payload);
      this.#partsLength += payload.length;
    }
  }
}
