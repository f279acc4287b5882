import { readFile } from 'node:fs/promises';
import { inflateRawSync } from 'node:zlib';

/** One file of a ZIP archive. */
export interface ArchiveEntry {
  readonly name: string;
  /** Permission bits; 0 if the archive does not tell. */
  readonly mode: number;
  read(): Buffer;
}

const endOfDirectory = 0x06054b50;
const directoryEntry = 0x02014b50;

/** Reads a ZIP archive as vsce writes them: no ZIP64, no comment, files stored or deflated. */
export async function readArchive(file: string): Promise<ArchiveEntry[]> {
  const bytes = await readFile(file);
  const end = bytes.length - 22;
  if (end < 0 || bytes.readUInt32LE(end) !== endOfDirectory) throw new Error(`${file}: no ZIP`);
  const entries: ArchiveEntry[] = [];
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    if (bytes.readUInt32LE(at) !== directoryEntry) throw new Error(`${file}: broken directory`);
    const nameLength = bytes.readUInt16LE(at + 28);
    const method = bytes.readUInt16LE(at + 10);
    const size = bytes.readUInt32LE(at + 20);
    const header = bytes.readUInt32LE(at + 42);
    entries.push({
      name: bytes.toString('utf8', at + 46, at + 46 + nameLength),
      mode: (bytes.readUInt32LE(at + 38) >>> 16) & 0o777,
      read: () => {
        const start =
          header + 30 + bytes.readUInt16LE(header + 26) + bytes.readUInt16LE(header + 28);
        const data = bytes.subarray(start, start + size);
        return method === 0 ? data : inflateRawSync(data);
      },
    });
    at += 46 + nameLength + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return entries;
}
