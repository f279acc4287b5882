import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { chromiumExecutable } from '../lib/packages';
import { root } from '../lib/paths';
import { prepareVscode } from '../lib/setup';
import { say } from '../lib/steps';

/** Of the marketplace, which asks for 128 at least; twice that for sharp screens. */
const sizePx = 256;

/** The product icon, which has one colour, in white on a ground that is seen on light and on dark pages. */
function page(svg: string): string {
  return `<!doctype html><style>
    body { margin: 0; }
    div { width: ${sizePx}px; height: ${sizePx}px; box-sizing: border-box; padding: 36px; border-radius: 48px;
      color: #fff; background: linear-gradient(160deg, #2f6fb5, #17355c); }
    svg { width: 100%; height: 100%; }
  </style><div>${svg}</div>`;
}

async function main(): Promise<void> {
  await prepareVscode({ browser: true });
  const executablePath = chromiumExecutable();
  if (executablePath === undefined) throw new Error('No Chromium is installed.');
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const tab = await browser.newPage({ viewport: { width: sizePx, height: sizePx } });
    await tab.setContent(page(await readFile(join(root, 'media', 'icon.svg'), 'utf8')));
    const path = join(root, 'media', 'icon.png');
    await tab.screenshot({ path, omitBackground: true });
    say(path);
  } finally {
    await browser.close();
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
