import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, it } from 'mocha';
import {
  argumentsText,
  ArgumentsTextError,
  parseArguments,
} from '../../../../src/migration/liveUpdate/argumentsText';

const words = (text: string): string[] => parseArguments(text).map((placed) => placed.text);

describe('a command line as a text', () => {
  it('puts each option on a line with its value, as it is', () => {
    const args = ['-name', 'web 1', '-enable-kvm', '-device', '{"driver":"e1000"}', 'disk.img'];
    assert.equal(
      argumentsText(args),
      '-name web 1\n-enable-kvm\n-device {"driver":"e1000"}\ndisk.img\n',
    );
    assert.deepEqual(words(argumentsText(args)), args);
  });

  it('gives back any arguments that it wrote down', () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom('-', '--', '', ' ', '"', '#', '[', '-a b', '-x "', 'a\nb', '-device'),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 6 }), (args) => {
        assert.deepEqual(words(argumentsText(args)), args);
      }),
    );
  });

  it('takes blank lines, notes and indentation as none of the arguments, and keeps the lines', () => {
    const placed = parseArguments('# mine\n\n  -m   512 \n-S\n');
    assert.deepEqual(placed, [
      { text: '-m', line: 3 },
      { text: '512', line: 3 },
      { text: '-S', line: 4 },
    ]);
  });

  it('reads a JSON list, such as another program writes', () => {
    assert.deepEqual(words('["-name", "a b", ""]'), ['-name', 'a b', '']);
  });

  it('names the line that cannot be read', () => {
    const line = (text: string): number | undefined => {
      try {
        parseArguments(text);
        return undefined;
      } catch (error) {
        return error instanceof ArgumentsTextError ? error.line : undefined;
      }
    };
    assert.equal(line('-S\n-append "root=/dev/vda" quiet\n'), 2);
    assert.equal(line('\n\n"-S\n'), 3);
    assert.equal(line('["-S", 1]'), 1);
  });
});
