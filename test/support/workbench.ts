import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { chromiumExecutable } from '../../scripts/lib/packages';
import { cacheDirectory, root } from '../../scripts/lib/paths';
import { temporaryDirectory } from '../../scripts/lib/processes';
import { writeWhole } from '../../scripts/lib/steps';
import {
  quietSettings,
  startVscodeServer,
  workbenchQuery,
  type VscodeServer,
} from '../../scripts/lib/vscodeServer';

/** The three themes that every screen is looked at in; `file` tells in the page which one is applied. */
export const themes = {
  dark: { id: 'Dark Modern', file: 'dark_modern' },
  light: { id: 'Light Modern', file: 'light_modern' },
  'high-contrast': { id: 'Default High Contrast', file: 'hc_black' },
} as const;

export type ThemeName = keyof typeof themes;

export interface WorkbenchOptions {
  /** Workspace settings on top of the quiet ones. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly theme?: ThemeName;
  /** The folder to open; an empty one of its own unless given. Its .vscode/settings.json is overwritten. */
  readonly folder?: string;
  /** Have the extension as if installed, with its notifications; not together with `extensionTests`. */
  readonly installed?: boolean;
  /** A module whose `run()` the extension host calls; see {@link Workbench.testsEnded}. */
  readonly extensionTests?: string;
  /** Ask for trust in the workspace, as a desktop does. Off unless told. */
  readonly workspaceTrust?: boolean;
  /** Environment of the extension host. */
  readonly env?: NodeJS.ProcessEnv;
  readonly size?: { readonly width: number; readonly height: number };
}

/** A real VS Code workbench in a browser of its own, with this checkout's extension loaded. */
export interface Workbench {
  readonly page: Page;
  readonly folder: string;
  /** Resolves with 0 when the extension tests' `run()` resolved, 1 when it was rejected. */
  readonly testsEnded: Promise<number>;
  /** Console lines of the window and of the extension host. */
  readonly log: () => string;
  /** What VS Code's server printed. */
  readonly serverLog: () => string;
  /** Saves a picture as NAME.png among the screenshots and returns its path. */
  readonly screenshot: (name: string) => Promise<string>;
  /** Runs a command by its title (with its category: `QEMU Migration: Connect`) from the palette. */
  readonly runCommand: (title: string) => Promise<void>;
  /** Ends page, browser, server and extension host, and removes what they wrote. */
  readonly close: () => Promise<void>;
}

/** Where pictures go: `.cache/screenshots/`, and those of failed tests under `failed/`. */
const screenshotDirectory = join(cacheDirectory, 'screenshots');

/** Flags for a browser that runs as root, without a GPU, and looks nothing up on its own. */
const chromiumFlags = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
  ...['--disable-background-networking', '--disable-component-update'],
];

const open = new Set<Workbench>();

/** Opens VS Code on the folder and waits until the workbench is drawn. The caller closes it. */
export async function openWorkbench(options: WorkbenchOptions = {}): Promise<Workbench> {
  // Short: sockets go below it, and a socket's path has at most 107 bytes.
  const temporary = temporaryDirectory('workbench');
  const directory = temporary.path;
  const folder = options.folder ?? join(directory, 'workspace');
  const settings = {
    ...quietSettings,
    'workbench.colorTheme': themes[options.theme ?? 'dark'].id,
    'window.autoDetectColorScheme': false,
    ...options.settings,
  };
  await writeWhole(join(folder, '.vscode', 'settings.json'), JSON.stringify(settings, null, 2));
  let server: VscodeServer | undefined;
  let browser: Browser | undefined;
  const close = async () => {
    await browser?.close();
    await server?.stop();
    await temporary.remove();
  };
  try {
    server = await startVscodeServer({
      directory,
      workspaceTrust: options.workspaceTrust ?? false,
      ...(options.installed === true ? { installed: root } : {}),
      // What runs of tests leave is no business of the person's who runs them.
      env: { QEMU_MIGRATION_STATE: join(directory, 'state'), ...options.env },
    });
    browser = await launchChromium();
    return await openPage(options, { folder, server, browser, close });
  } catch (error) {
    const log = server?.output() ?? '';
    await close();
    throw new Error(`The workbench did not open. VS Code's server printed:\n${log}`, {
      cause: error,
    });
  }
}

async function launchChromium(): Promise<Browser> {
  const executablePath = chromiumExecutable();
  if (executablePath === undefined) throw new Error('No Chromium is installed: run npm test once.');
  return chromium.launch({
    executablePath,
    args: chromiumFlags,
    // Playwright's own handlers would end the process before ours have ended what they started.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
}

interface Parts {
  readonly folder: string;
  readonly server: VscodeServer;
  readonly browser: Browser;
  readonly close: () => Promise<void>;
}

async function openPage(options: WorkbenchOptions, parts: Parts): Promise<Workbench> {
  const { folder, server } = parts;
  const page = await parts.browser.newPage({
    viewport: options.size ?? { width: 1280, height: 800 },
  });
  let log = '';
  // With extension tests, VS Code tells us the same lines by the function below.
  if (options.extensionTests === undefined) {
    page.on('console', (message) => (log += `${message.text()}\n`));
  }
  await page.exposeFunction('codeAutomationLog', (type: string, args: readonly unknown[]) => {
    log += `${type}: ${args.map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join(' ')}\n`;
  });
  const testsEnded = new Promise<number>((resolve, reject) => {
    void page.exposeFunction('codeAutomationExit', resolve);
    void server.process.exited.then(() => {
      reject(new Error(`VS Code's server ended:\n${server.output()}`));
    });
  });
  // Nobody awaits it when no tests run.
  testsEnded.catch(() => undefined);
  const authority = `127.0.0.1:${server.port}`;
  const query = workbenchQuery(authority, {
    folder,
    ...(options.installed === true ? {} : { extension: root }),
    ...(options.extensionTests === undefined ? {} : { extensionTests: options.extensionTests }),
  });
  query.set('tkn', server.token);
  await page.goto(`http://${authority}/?${query.toString()}`);
  // Settings come after the first picture: drawn is what has the theme.
  const theme = themes[options.theme ?? 'dark'].file;
  const drawn = page.locator(`.monaco-workbench[class*="${theme}"] .part.statusbar`);
  await drawn.waitFor({ timeout: 60_000 });
  const workbench: Workbench = {
    page,
    folder,
    testsEnded,
    log: () => log,
    serverLog: () => server.output(),
    screenshot: async (name) => {
      const path = join(screenshotDirectory, `${name}.png`);
      await mkdir(join(path, '..'), { recursive: true });
      await page.screenshot({ path });
      return path;
    },
    runCommand: (title) => runCommand(page, title),
    close: async () => {
      open.delete(workbench);
      await parts.close();
    },
  };
  open.add(workbench);
  // Shown or not depends on whether the settings came in time; nothing of ours is in there.
  if (await page.locator('.part.auxiliarybar').isVisible()) {
    await workbench.runCommand('View: Hide Secondary Side Bar');
  }
  return workbench;
}

async function runCommand(page: Page, title: string): Promise<void> {
  const input = page.locator('.quick-input-widget input[type="text"]');
  await page.keyboard.press('F1');
  await input.waitFor({ state: 'visible' });
  await input.fill(`>${title}`);
  const row = page
    .locator('.quick-input-widget .monaco-list-row')
    .filter({ has: page.getByText(title, { exact: true }) })
    .first();
  // The extension may still be loading: its commands appear in the list when it has.
  await row.waitFor({ state: 'visible', timeout: 30_000 });
  await row.click();
}

// A picture of every open workbench when a test fails: worth more than the error's text.
if (typeof afterEach === 'function') {
  afterEach(async function saveFailurePicture() {
    if (this.currentTest?.state !== 'failed') return;
    const name = this.currentTest.fullTitle().replaceAll(/\W+/g, '-').slice(0, 100);
    let number = 0;
    for (const workbench of open) {
      await workbench.screenshot(`failed/${name}-${++number}`).catch(() => undefined);
    }
  });
}
