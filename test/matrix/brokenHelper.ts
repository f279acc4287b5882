import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../scripts/lib/paths';

/** The helper as `npm run helper` builds it. */
export const realHelper = join(root, `native/fdpass/build/linux-${process.arch}/fdpass`);

/** A helper that stands still before it does its work, so that it can be killed or frozen there. */
export interface StandingHelper {
  readonly path: string;
  /** Of the one that stands; `undefined`: none does. */
  pid(): Promise<number | undefined>;
  /** Lets it do its work, now or when it comes. */
  release(): Promise<void>;
}

export async function standingHelper(directory: string): Promise<StandingHelper> {
  const path = join(directory, 'standing-helper');
  const [pidFile, goFile] = [join(directory, 'helper.pid'), join(directory, 'helper.go')];
  const script = [
    '#!/bin/sh',
    `[ "$1" = --version ] && exec ${realHelper} --version`,
    `echo $$ > ${pidFile}.new && mv ${pidFile}.new ${pidFile}`,
    // Bounded: it must not outlive whoever forgot it.
    `n=0; while [ ! -e ${goFile} ] && [ $n -lt 600 ]; do sleep 0.02; n=$((n+1)); done`,
    `exec ${realHelper} "$@"`,
  ];
  await writeFile(path, `${script.join('\n')}\n`, { mode: 0o700 });
  return {
    path,
    pid: async () => (existsSync(pidFile) ? Number(await readFile(pidFile, 'utf8')) : undefined),
    release: () => writeFile(goFile, ''),
  };
}
