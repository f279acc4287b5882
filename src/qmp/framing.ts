import { isAscii, isUtf8 } from 'node:buffer';
import { QmpProtocolError, type ProtocolProblem } from './errors';
import { parseJson, type JsonValue } from './json';

/** Largest message accepted by default, in bytes. A QMP schema has about 250 kB. */
export const defaultMaxMessageBytes = 16 * 1024 * 1024;

/** Far deeper than anything QEMU prints; deeper input is not from QEMU. */
const maxDepth = 1024;

const excerptBytes = 100;

// What a byte means outside of strings; 0 cannot stand there in JSON at all.
const plain = 1;
const open = 2;
const close = 3;
const quote = 4;
const byteClass = new Uint8Array(256);
for (const byte of Buffer.from(' \t\r\n:,+-.0123456789eEtrufalsn')) byteClass[byte] = plain;
for (const byte of Buffer.from('{[')) byteClass[byte] = open;
for (const byte of Buffer.from('}]')) byteClass[byte] = close;
byteClass[0x22] = quote;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const backslash = 0x5c;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * Cuts a stream of bytes into JSON objects, wherever the stream was split.
 *
 * Messages are found by bracket depth outside of strings, since a monitor with `pretty=on` prints
 * many lines a message. The usual case, whole messages of one line each, takes a short cut that
 * looks at no byte in JavaScript.
 */
export class Framer {
  private readonly onMessage: (value: JsonValue, text: string) => void;
  private readonly maxBytes: number;

  /** Earlier chunks of the message that is still open. */
  private parts: Buffer[] = [];
  private partBytes = 0;
  private depth = 0;
  private inString = false;
  private escaped = false;
  private stopped = false;

  /** `onMessage` gets each value with the text that it was parsed from. */
  constructor(
    onMessage: (value: JsonValue, text: string) => void,
    maxBytes: number = defaultMaxMessageBytes,
  ) {
    this.onMessage = onMessage;
    this.maxBytes = maxBytes;
  }

  /**
   * Takes the next bytes and hands out each message that they complete.
   * Throws QmpProtocolError, after which the stream is beyond rescue: all later bytes are ignored.
   */
  push(chunk: Buffer): void {
    try {
      let position = 0;
      let tryLines = true;
      while (position < chunk.length) {
        if (this.depth === 0) {
          position = skipBlanks(chunk, position);
          if (tryLines) position = this.takeLines(chunk, position);
          // Once it failed, trying again after each message would cost too much.
          tryLines = false;
        } else tryLines = true;
        if (position < chunk.length) position = this.scan(chunk, position);
      }
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Forgets what is pending and ignores all that comes. */
  stop(): void {
    this.stopped = true;
    this.parts = [];
  }

  /** As a call, since handing out a message may stop us, which the compiler cannot see. */
  private isStopped(): boolean {
    return this.stopped;
  }

  /**
   * The short cut: takes lines as long as each is one whole message. Returns where it stopped; what
   * is there is for {@link scan} to judge.
   */
  private takeLines(chunk: Buffer, start: number): number {
    const lastFeed = chunk.lastIndexOf(lineFeed);
    if (lastFeed < start || chunk[start] !== openBrace || this.isStopped()) return start;
    const lines =
      start === 0 && lastFeed === chunk.length - 1 ? chunk : chunk.subarray(start, lastFeed + 1);
    // In ASCII a character is a byte, so that positions in the text are positions in the chunk.
    if (!isAscii(lines)) return start;
    const text = lines.toString('latin1');

    let position = 0;
    while (position < text.length) {
      const feed = text.indexOf('\n', position);
      const end = text.charCodeAt(feed - 1) === carriageReturn ? feed - 1 : feed;
      if (text.charCodeAt(end - 1) !== closeBrace || end - position > this.maxBytes) break;
      const line = text.slice(position, end);
      let value;
      try {
        value = parseJson(line);
      } catch {
        // Two messages on a line, or a piece of a pretty-printed one, or garbage.
        break;
      }
      position = feed + 1;
      this.onMessage(value, line);
      if (this.isStopped()) return chunk.length;
    }
    return start + position;
  }

  /** Goes byte by byte up to the end of one message, or of the chunk. Returns where it stopped. */
  private scan(chunk: Buffer, start: number): number {
    if (this.isStopped()) return chunk.length;
    if (this.depth === 0 && chunk[start] !== openBrace) {
      throw this.problem('garbage', 'Expected a JSON object', chunk, start);
    }

    let position = start;
    let { depth, inString, escaped } = this;
    for (; position < chunk.length; position++) {
      const byte = chunk[position] ?? 0;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === 0x22) inString = false;
        else if (byte < 0x20) throw this.problem('bad-json', 'Raw control character', chunk, start);
        continue;
      }
      const kind = byteClass[byte];
      if (kind === plain) continue;
      if (kind === quote) inString = true;
      else if (kind === open) {
        if (++depth > maxDepth) throw this.problem('bad-json', 'Nested too deeply', chunk, start);
      } else if (kind === close) {
        if (--depth === 0) {
          this.depth = 0;
          this.inString = this.escaped = false;
          this.complete(chunk, start, position + 1);
          return position + 1;
        }
      } else throw this.problem('garbage', 'Not JSON', chunk, start);
    }

    this.depth = depth;
    this.inString = inString;
    this.escaped = escaped;
    this.checkSize(chunk, start, chunk.length);
    this.parts.push(chunk.subarray(start));
    this.partBytes += chunk.length - start;
    return position;
  }

  private complete(chunk: Buffer, start: number, end: number): void {
    this.checkSize(chunk, start, end);
    const last = chunk.subarray(start, end);
    const bytes = this.parts.length === 0 ? last : Buffer.concat([...this.parts, last]);
    this.parts = [];
    this.partBytes = 0;
    if (!isUtf8(bytes)) throw this.problem('bad-utf8', 'Not UTF-8', bytes, 0);
    const text = bytes.toString('utf8');
    let value;
    try {
      value = parseJson(text);
    } catch (error) {
      throw this.problem('bad-json', 'Not JSON', bytes, 0, error);
    }
    this.onMessage(value, text);
  }

  private checkSize(chunk: Buffer, start: number, end: number): void {
    if (this.partBytes + end - start <= this.maxBytes) return;
    throw this.problem('too-large', `A message of more than ${this.maxBytes} bytes`, chunk, start);
  }

  private problem(
    problem: ProtocolProblem,
    message: string,
    chunk: Buffer,
    start: number,
    cause?: unknown,
  ): QmpProtocolError {
    const bytes = this.parts[0] ?? chunk.subarray(start);
    const options = cause === undefined ? undefined : { cause };
    return new QmpProtocolError(problem, message, excerptOf(bytes), options);
  }
}

function skipBlanks(chunk: Buffer, start: number): number {
  let position = start;
  for (; position < chunk.length; position++) {
    const byte = chunk[position];
    if (byte !== carriageReturn && byte !== lineFeed && byte !== 0x20 && byte !== 0x09) break;
  }
  return position;
}

/** The beginning of some bytes, printable on one line. */
export function excerptOf(bytes: Buffer | string): string {
  const start = bytes.slice(0, excerptBytes);
  const text = typeof start === 'string' ? start : start.toString('utf8');
  const printable = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"');
  return bytes.length > excerptBytes ? `${printable}...` : printable;
}
