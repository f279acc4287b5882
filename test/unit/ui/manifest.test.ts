import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import manifest from '../../../package.json' with { type: 'json' };
import nls from '../../../package.nls.json' with { type: 'json' };
import {
  CommandId,
  ContextKey,
  SettingId,
  StateKey,
  ViewContainerId,
  ViewId,
} from '../../../src/ui/ids';

const { contributes } = manifest;
const menus: Record<string, readonly { command: string; when: string; group?: string }[]> =
  contributes.menus;
const menuEntries = Object.values(menus).flat();
const own = Object.values(CommandId) as readonly string[];

/** Every `when` and `enablement` of the manifest. */
function clauses(): string[] {
  return [
    ...menuEntries.map((entry) => entry.when),
    ...contributes.viewsWelcome.map((welcome) => welcome.when),
    ...contributes.commands.flatMap((command) => command.enablement ?? []),
  ];
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
      // Words of ours that are not the right-hand side of `view ==`.
      .map((clause) => clause.replaceAll(/view == [\w.]+/g, ''))
      .flatMap((clause) => clause.match(/qemuMigration\.[\w.]+/g) ?? []);
    assert.deepEqual(sorted(used), sorted(Object.values(ContextKey)));
  });

  it('names views of ours in each when clause', () => {
    const views = clauses().flatMap((clause) =>
      [...clause.matchAll(/view == ([\w.]+)/g)].map((match) => match[1]),
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
    for (const { command } of menuEntries) assert.ok(own.includes(command), command);
    const linked = Object.values(nls).flatMap((text) =>
      [...text.matchAll(/command:(qemuMigration[\w.]+)/g)].map((match) => match[1] ?? ''),
    );
    assert.ok(linked.length > 0);
    for (const command of linked) assert.ok(own.includes(command), command);
  });

  it('hides the commands that need a row from the palette', () => {
    const hidden = menus['commandPalette']!.filter(({ when }) => when === 'false').map(
      ({ command }) => command,
    );
    assert.deepEqual(
      sorted(hidden),
      sorted([
        CommandId.connectMachine,
        CommandId.refreshMachine,
        CommandId.toggleCapability,
        CommandId.copyValue,
        CommandId.copySocketPath,
      ]),
    );
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

  it('puts at most three actions into the title and has words for the empty view', () => {
    const inTitle = menus['view/title']!.filter(({ group }) => group?.startsWith('navigation'));
    assert.ok(inTitle.length <= 3);
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
      sorted([SettingId.sockets, SettingId.helperPath]),
    );
    assert.equal(contributes.configuration.properties[SettingId.helperPath].scope, 'machine');
    assert.equal(
      contributes.configuration.properties[SettingId.sockets].scope,
      'machine-overridable',
    );
  });

  it('has each text that it names, and names each text', () => {
    const named = [...JSON.stringify(manifest).matchAll(/"%([^"%]+)%"/g)].map((match) => match[1]!);
    assert.deepEqual(sorted(named), sorted(Object.keys(nls)));
  });

  it('writes titles in title case, verb first', () => {
    const small = new Set(['to', 'from', 'or', 'of', 'in', 'on']);
    for (const { title } of contributes.commands) {
      const text = Object.entries(nls).find(([key]) => `%${key}%` === title)?.[1] ?? '';
      const words = text.split(' ').filter((word) => !small.has(word.replace('...', '')));
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

  it('runs where the sockets are and activates by what it contributes', () => {
    assert.deepEqual(manifest.extensionKind, ['workspace']);
    assert.ok(!('activationEvents' in manifest));
    assert.equal(manifest.capabilities.virtualWorkspaces.supported, false);
  });

  it('keeps its state under keys of its own', () => {
    for (const key of Object.values(StateKey)) assert.ok(key.startsWith('qemuMigration.'));
  });
});
