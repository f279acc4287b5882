import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import manifest from '../../../package.json' with { type: 'json' };
import nls from '../../../package.nls.json' with { type: 'json' };
import {
  CommandId,
  ContextKey,
  SettingId,
  StateKey,
  SubmenuId,
  ViewContainerId,
  ViewId,
  WalkthroughId,
} from '../../../src/ui/ids';

interface MenuEntry {
  readonly command?: string;
  readonly submenu?: string;
  readonly when: string;
  readonly group?: string;
}

interface KeyBinding {
  readonly key: string;
  readonly mac?: string;
  readonly when: string;
}

const { contributes } = manifest;
const menus: Record<string, readonly MenuEntry[]> = contributes.menus;
const menuEntries = Object.values(menus).flat();
const own = Object.values(CommandId) as readonly string[];

/** Every `when` and `enablement` of the manifest. */
function clauses(): string[] {
  return [
    ...menuEntries.map((entry) => entry.when),
    ...contributes.viewsWelcome.map((welcome) => welcome.when),
    ...contributes.commands.flatMap((command) => command.enablement ?? []),
    ...contributes.keybindings.map((binding) => binding.when),
  ];
}

/** Whether a `when` of plain keys, joined by `&&`, holds while exactly these keys are true. */
function holds(when: string, keys: ReadonlySet<string>): boolean {
  return when.split(' && ').every((term) => {
    if (term.startsWith('view ==')) return true;
    return term.startsWith('!') ? !keys.has(term.slice(1)) : keys.has(term);
  });
}

function sorted(list: Iterable<string>): string[] {
  return [...new Set(list)].sort();
}

describe('manifest', () => {
  it('lists the commands of the register, and no others', () => {
    assert.deepEqual(sorted(contributes.commands.map(({ command }) => command)), sorted(own));
  });

  it('lists the views and view containers of the register, and no others', () => {
    const views = Object.values(contributes.views).flat();
    assert.deepEqual(sorted(views.map(({ id }) => id)), sorted(Object.values(ViewId)));
    assert.deepEqual(
      sorted(contributes.viewsContainers.activitybar.map(({ id }) => id)),
      sorted(Object.values(ViewContainerId)),
    );
    assert.deepEqual(
      sorted(Object.keys(contributes.views)),
      sorted(Object.values(ViewContainerId)),
    );
  });

  it('lists the settings of the register, and no others', () => {
    assert.deepEqual(
      sorted(Object.keys(contributes.configuration.properties)),
      sorted(Object.values(SettingId)),
    );
  });

  it('uses exactly the context keys of the register', () => {
    const used = clauses()
      // Words of ours that are not the right-hand side of `view ==` or `focusedView ==`.
      .map((clause) => clause.replaceAll(/view == [\w.]+/gi, ''))
      .flatMap((clause) => clause.match(/qemuMigration\.[\w.]+/g) ?? []);
    assert.deepEqual(sorted(used), sorted(Object.values(ContextKey)));
  });

  it('names views of ours in each when clause', () => {
    const views = clauses().flatMap((clause) =>
      [...clause.matchAll(/view == ([\w.]+)/gi)].map((match) => match[1]),
    );
    for (const view of views) assert.ok(Object.values<string | undefined>(ViewId).includes(view));
  });

  it('gives every command a category and a title, and an icon', () => {
    for (const command of contributes.commands) {
      assert.equal(command.category, '%category%', command.command);
      assert.ok(command.title !== '', command.command);
      assert.match(command.icon, /^\$\([a-z-]+\)$/, command.command);
    }
  });

  it('refers only to commands of ours in menus, texts and enablements', () => {
    for (const { command, submenu } of menuEntries) {
      assert.ok(command === undefined ? submenu !== undefined : own.includes(command), command);
    }
    for (const { command } of contributes.keybindings) assert.ok(own.includes(command), command);
    const linked = Object.values(nls).flatMap((text) =>
      [...text.matchAll(/command:(qemuMigration[\w.]+)/g)].map((match) => match[1] ?? ''),
    );
    assert.ok(linked.length > 0);
    // VS Code has this one for each view.
    const focusing = Object.values(ViewId).map((id) => `${id}.focus`);
    for (const command of linked) assert.ok([...own, ...focusing].includes(command), command);
  });

  it('shows each submenu of the register, filled, and no others', () => {
    const ids = sorted(Object.values(SubmenuId));
    assert.deepEqual(sorted(contributes.submenus.map(({ id }) => id)), ids);
    assert.deepEqual(sorted(menuEntries.flatMap(({ submenu }) => submenu ?? [])), ids);
    for (const id of ids) assert.ok((menus[id] ?? []).length > 1, id);
    for (const { id, label, icon } of contributes.submenus) {
      assert.match(label, /^%submenu\..+%$/, id);
      assert.match(icon, /^\$\([a-z-]+\)$/, id);
    }
  });

  it('hides the commands that need a row from the palette', () => {
    const hidden = menus['commandPalette']!.flatMap(({ when, command }) =>
      when === 'false' && command !== undefined ? [command] : [],
    );
    assert.deepEqual(
      sorted(hidden),
      sorted([
        CommandId.connectMachine,
        CommandId.refreshMachine,
        CommandId.toggleCapability,
        CommandId.toggleFocused,
        CommandId.toggleBackendTransferHere,
        CommandId.resetSetting,
        CommandId.applyToBoth,
        CommandId.applyToOther,
        CommandId.copyAsQmp,
        CommandId.copyAsHmp,
        CommandId.copyAsGlobal,
        CommandId.copyAsCli,
        CommandId.copyValue,
        CommandId.copySocketPath,
        CommandId.applyRemedy,
        CommandId.cancelLiveUpdate,
      ]),
    );
  });

  it('takes no key but in the view, and none of a text field there', () => {
    for (const { when, key, mac } of contributes.keybindings as readonly KeyBinding[]) {
      assert.match(when, /^focusedView == qemuMigration\.machines && !inputFocus\b/, key);
      assert.equal(mac, key.includes('ctrl') ? key.replace('ctrl', 'cmd') : undefined, key);
    }
  });

  it('says of each action whether it makes sense for several rows', () => {
    const several = new Set<string | undefined>([
      CommandId.resetSetting,
      CommandId.applyToOther,
      CommandId.applyToBoth,
      CommandId.pair,
      CommandId.compare,
      CommandId.liveUpdate,
      undefined,
    ]);
    for (const { command, when, group } of menus['view/item/context']!) {
      if (group?.startsWith('inline')) continue;
      assert.equal(!when.endsWith(' && !listMultiSelection'), several.has(command), command);
    }
  });

  it('offers each inline action in the context menu or the palette as well', () => {
    const items = menus['view/item/context']!;
    const hidden = menus['commandPalette']!.filter(({ when }) => when === 'false');
    for (const { command } of items.filter(({ group }) => group?.startsWith('inline'))) {
      const inContextMenu = items.some(
        (other) => other.command === command && !(other.group ?? '').startsWith('inline'),
      );
      assert.ok(inContextMenu || !hidden.some((other) => other.command === command), command);
    }
  });

  it('matches rows by whole tags', () => {
    for (const { when } of menus['view/item/context']!) {
      for (const [, pattern] of when.matchAll(/viewItem =~ \/(.*?)\//g)) {
        assert.match(pattern!, /^;(?:[a-z-]+|\([a-z-]+(?:\|[a-z-]+)+\));$/);
      }
    }
  });

  it('has no two actions at one place of a menu, unless one row never shows both', () => {
    for (const [menu, entries] of Object.entries(menus)) {
      const places = new Map<string, MenuEntry[]>();
      for (const entry of entries) {
        if (entry.group === undefined) continue;
        places.set(entry.group, [...(places.get(entry.group) ?? []), entry]);
      }
      for (const [group, sharing] of places) {
        const conditions = sharing.map(({ when }) => when);
        assert.equal(new Set(conditions).size, conditions.length, `${menu} ${group}`);
      }
    }
  });

  it('puts at most three actions into the title and has words for the empty view', () => {
    const keys = Object.values(ContextKey);
    for (let bits = 0; bits < 2 ** keys.length; bits += 1) {
      const on = new Set<string>(keys.filter((_, index) => (bits >> index) & 1));
      const shown = menus['view/title']!.filter(({ when }) => holds(when, on));
      const icons = shown.filter(({ group }) => group?.startsWith('navigation'));
      assert.ok(icons.length <= 3, [...on].join());
      const places = shown.map(({ group }) => group);
      assert.equal(new Set(places).size, places.length, [...on].join());
    }
    assert.ok(contributes.viewsWelcome.length > 0);
  });

  it('describes every setting, in order, with a default', () => {
    const settings = Object.entries<Record<string, unknown>>(contributes.configuration.properties);
    for (const [id, setting] of settings) {
      assert.equal(typeof setting['markdownDescription'], 'string', id);
      assert.ok('default' in setting, id);
    }
    assert.deepEqual(
      settings.map(([, setting]) => setting['order']),
      settings.map((_, index) => index + 1),
    );
  });

  it('keeps paths and executables out of untrusted hands', () => {
    const { restrictedConfigurations, supported } = manifest.capabilities.untrustedWorkspaces;
    assert.equal(supported, 'limited');
    assert.deepEqual(
      sorted(restrictedConfigurations),
      sorted([SettingId.sockets, SettingId.helperPath, SettingId.profilesFile]),
    );
    assert.equal(contributes.configuration.properties[SettingId.helperPath].scope, 'machine');
    for (const id of [SettingId.sockets, SettingId.profilesFile]) {
      assert.equal(contributes.configuration.properties[id].scope, 'machine-overridable', id);
    }
  });

  it('has each text that it names, and names each text', () => {
    const named = [...JSON.stringify(manifest).matchAll(/"%([^"%]+)%"/g)].map((match) => match[1]!);
    assert.deepEqual(sorted(named), sorted(Object.keys(nls)));
    for (const [key, text] of Object.entries(nls)) assert.ok(text.trim() !== '', key);
  });

  it('writes titles in title case, verb first', () => {
    const small = new Set(['to', 'from', 'or', 'of', 'in', 'on', 'with', 'as', 'the']);
    for (const { title } of contributes.commands) {
      const text = Object.entries(nls).find(([key]) => `%${key}%` === title)?.[1] ?? '';
      const words = text
        .split(' ')
        // An option or a mode of QEMU keeps its spelling.
        .filter((word) => !small.has(word.replace('...', '')) && !/^[-(]/.test(word));
      assert.match(words[0] ?? '', /^[A-Z]/, text);
      for (const word of words) assert.match(word, /^[A-Z]/, text);
    }
  });

  it('has its icon in one colour', () => {
    const { icon } = contributes.viewsContainers.activitybar[0]!;
    assert.ok(existsSync(icon), icon);
    const svg = readFileSync(icon, 'utf8');
    assert.match(svg, /currentColor/);
    assert.doesNotMatch(svg, /#[0-9a-f]{3,6}/i);
  });

  it('has a walkthrough whose steps have a picture and are ticked off by what is there', () => {
    const [walkthrough, ...others] = contributes.walkthroughs;
    assert.deepEqual([walkthrough?.id, others], [WalkthroughId.getStarted, []]);
    const known = new Set<string>([
      ...Object.values(CommandId).map((id) => `onCommand:${id}`),
      ...Object.values(ContextKey).map((key) => `onContext:${key}`),
      ...Object.values(ViewId).map((id) => `onView:${id}`),
    ]);
    const steps = walkthrough?.steps ?? [];
    assert.ok(steps.length >= 5);
    for (const { id, media, completionEvents } of steps) {
      assert.ok(existsSync(media.svg), media.svg);
      // Drawn in the colours of the theme, with others where a colour has no name there.
      const colours = readFileSync(media.svg, 'utf8').matchAll(/(?:fill|stroke)="([^"]*)"/g);
      for (const [, colour = ''] of colours)
        assert.match(colour, /^(var\(--vscode-.*\)|none)$/, id);
      assert.ok(completionEvents.length > 0, id);
      for (const event of completionEvents) assert.ok(known.has(event), event);
    }
  });

  it('has a picture for the marketplace, of 128 pixels or more', () => {
    const png = readFileSync(manifest.icon);
    assert.equal(png.toString('latin1', 1, 4), 'PNG');
    assert.ok(png.readUInt32BE(16) >= 128 && png.readUInt32BE(20) >= 128);
  });

  it('runs where the sockets are and activates by what it contributes', () => {
    assert.deepEqual(manifest.extensionKind, ['workspace']);
    assert.ok(!('activationEvents' in manifest));
    assert.equal(manifest.capabilities.virtualWorkspaces.supported, false);
  });

  it('keeps its state under keys of its own', () => {
    for (const key of Object.values(StateKey)) assert.ok(key.startsWith('qemuMigration.'));
  });
});
