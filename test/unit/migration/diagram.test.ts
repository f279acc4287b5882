import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'mocha';
import { withDiagram } from '../../../scripts/diagram/text';

const file = join(import.meta.dirname, '../../../CONTRIBUTING.md');

describe('the diagram of a run in CONTRIBUTING.md', () => {
  it('is that of the table in the code; else: npm run diagram', async () => {
    const document = await readFile(file, 'utf8');
    assert.equal(document, withDiagram(document));
    assert.match(document, /transfer --> switch_over/);
    assert.match(document, /\| switch-over \| neither yet \| none \|/);
  });

  it('needs its place in the document, and leaves the rest alone', async () => {
    const document = await readFile(file, 'utf8');
    const [first] = document.split('\n', 1);
    assert.ok(withDiagram(document).startsWith(`${first}\n`));
    const [above = '', below = ''] = document.split(/<!-- states of a run: begin .*-->/);
    assert.throws(() => withDiagram(above), /needs/);
    assert.throws(() => withDiagram(above + below), /needs/);
    assert.throws(() => withDiagram(document + document), /each once/);
  });
});
