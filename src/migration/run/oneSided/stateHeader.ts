import { open } from 'node:fs/promises';

/** What the first bytes of a saved guest tell of it. */
export type StateHeader =
  /** It begins as QEMU's stream does. */
  | {
      readonly kind: 'qemu';
      /** Such as `pc-q35-11.1`; absent where the stream does not have it. */
      readonly machineType: string | undefined;
      /** Capabilities that were on and must be on again, as far as the stream tells. */
      readonly capabilities: readonly string[];
    }
  | { readonly kind: 'other' }
  | { readonly kind: 'unreadable'; readonly reason: string };

const magic = 0x5145564d;
const configurationSection = 0x07;
const subsection = 0x05;

/** Looks at the beginning of a file. Never rejects. */
export async function readStateHeader(file: string): Promise<StateHeader> {
  try {
    const handle = await open(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
      return parseStateHeader(buffer.subarray(0, bytesRead));
    } finally {
      await handle.close();
    }
  } catch (error) {
    return { kind: 'unreadable', reason: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * Reads QEMU's stream up to the end of its section `configuration` (`migration/savevm.c`): the name
 * of the machine, then subsections, of which `configuration/capabilities` lists names.
 */
export function parseStateHeader(bytes: Buffer): StateHeader {
  const reader = new Reader(bytes);
  if (reader.word() !== magic) return { kind: 'other' };
  reader.word();
  if (reader.byte() !== configurationSection) {
    return { kind: 'qemu', machineType: undefined, capabilities: [] };
  }
  const machineType = reader.text(reader.word());
  const capabilities: string[] = [];
  while (reader.byte() === subsection) {
    const name = reader.text(reader.byte());
    reader.word();
    // What follows cannot be skipped without knowing it: their lengths are not told.
    if (name !== 'configuration/capabilities') break;
    const count = reader.word() ?? 0;
    for (let index = 0; index < Math.min(count, 64); index++) {
      const capability = reader.text(reader.byte());
      if (capability !== undefined) capabilities.push(capability);
    }
  }
  return { kind: 'qemu', machineType, capabilities };
}

class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  byte(): number | undefined {
    return this.bytes[this.at++];
  }

  word(): number | undefined {
    const { at, bytes } = this;
    this.at += 4;
    return this.at <= bytes.length ? bytes.readUInt32BE(at) : undefined;
  }

  text(length: number | undefined): string | undefined {
    if (length === undefined || length > 256) return undefined;
    const { at, bytes } = this;
    this.at += length;
    return this.at <= bytes.length ? bytes.toString('latin1', at, this.at) : undefined;
  }
}
