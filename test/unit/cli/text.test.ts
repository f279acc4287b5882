import assert from 'node:assert/strict';
import { nearest } from '../../../src/migration/settings/nearest';
import { cut, outline, printable, table, toJson } from '../../../src/cli/text';
import type { ViewNode } from '../../../src/migration/view/nodes';

function node(label: string, more: Partial<ViewNode> = {}): ViewNode {
  return {
    id: label,
    kind: 'parameter',
    machineId: '/run/a.qmp',
    label,
    expansion: 'leaf',
    tags: [],
    spoken: label,
    children: [],
    ...more,
  };
}

describe('cli text', () => {
  it('shows control characters instead of sending them to the terminal', () => {
    assert.equal(printable('vm\u001b[31m\u0007'), 'vm\\x1b[31m\\x07');
    assert.equal(printable('a\u202eb'), 'a\\u202eb');
    assert.equal(printable('a\nb'), 'a\nb');
    assert.equal(printable('Grün 日本'), 'Grün 日本');
  });

  it('aligns columns and leaves no blanks at line ends', () => {
    assert.deepEqual(
      table([
        ['NAME', 'PID'],
        ['web-1', '4'],
        ['x', ''],
      ]),
      ['NAME   PID', 'web-1  4', 'x'],
    );
  });

  it('keeps a cell on its line, whatever is in it', () => {
    assert.deepEqual(table([['a\nb\r', 'c']]), ['a b\\x0d  c']);
  });

  it('cuts by characters, not by halves of them', () => {
    assert.equal(cut('12345', 5), '12345');
    assert.equal(cut('123456', 5), '1234…');
    assert.equal(cut('😀😀😀', 2), '😀…');
    assert.equal(cut('abc', 0), '');
  });

  it('prints rows below rows, checkboxes included', () => {
    const tree = node('web-1', {
      children: [
        node('Status', { description: 'running' }),
        node('Capabilities', {
          description: '1 on',
          children: [node('xbzrle', { checked: true }), node('events', { checked: false })],
        }),
      ],
    });
    assert.deepEqual(outline(tree), [
      'Status  running',
      '',
      'Capabilities  1 on',
      '  [x] xbzrle',
      '  [ ] events',
    ]);
  });

  it('keeps integers of any size exact in JSON and leaves out what is undefined', () => {
    const text = toJson({ max: 18446744073709551615n, none: undefined, small: 1 });
    assert.equal(text, '{\n  "max": 18446744073709551615,\n  "small": 1\n}');
  });

  it('guesses the name that was meant, but not wildly', () => {
    const known = ['max-bandwidth', 'downtime-limit', 'xbzrle'];
    assert.equal(nearest('max-bandwith', known), 'max-bandwidth');
    assert.equal(nearest('downtimelimit', known), 'downtime-limit');
    assert.equal(nearest('colour', known), undefined);
  });
});
