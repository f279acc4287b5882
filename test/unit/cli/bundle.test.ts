import assert from 'node:assert/strict';
import { version } from '../../../package.json';
import { cliBundle, runCliProcess, startCli } from '../../support/cliProcess';

describe('cli as a program', function () {
  this.timeout(20_000);
  before(() => cliBundle());

  const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [[], /Usage:/],
    [['dance'], /unknown command 'dance'/],
    [['shwo'], /Did you mean show/],
    [['show'], /missing required argument 'socket'/],
    [['show', ''], /path of a QMP socket is empty/],
    [['list', '--nope'], /unknown option '--nope'/],
    [['set', '/a', 'max-bandwidth'], /missing required argument 'value'/],
    [['backend-transfer', '/a', 'maybe'], /either on or off, not "maybe"/],
    [['migrate', '/a'], /needs SOURCE and TARGET/],
    [['migrate', '/a', '/b', '/c'], /Too many sockets/],
    [['migrate', '/a', '/b', '--transport', 'pigeon'], /Allowed choices are fd, unix/],
    [['migrate', '/a', '/b', '--max-bandwidth', 'fast'], /--max-bandwidth/],
    [['migrate', '/a', '/a'], /same socket/],
  ];
  for (const [args, says] of wrong) {
    it(`qemu-migration ${args.join(' ')}: exit code 2, one clear message`, async () => {
      const end = await runCliProcess(args);
      assert.equal(end.code, 2, end.stderr);
      assert.match(end.stderr, says);
      assert.equal(end.stdout, '');
      assert.doesNotMatch(end.stderr, /^\s+at /m);
    });
  }

  it('teaches with --help: examples and every exit code', async () => {
    const { code, stdout } = await runCliProcess(['--help']);
    assert.equal(code, 0);
    assert.match(stdout, /Examples:/);
    for (const number of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
      assert.match(stdout, new RegExp(`^ {2}${number} {2}\\S`, 'm'));
    }
    for (const command of ['list', 'show', 'set', 'backend-transfer', 'migrate']) {
      const help = await runCliProcess([command, '--help']);
      assert.equal(help.code, 0, command);
      assert.match(help.stdout, /Examples:/, command);
    }
  });

  it('tells its version', async () => {
    const { code, stdout } = await runCliProcess(['--version']);
    assert.deepEqual([code, stdout], [0, `${version}\n`]);
  });

  it('prints JSON for a machine even when it failed', async () => {
    const { code, stdout } = await runCliProcess(['show', '--json', '/no/such.qmp']);
    assert.equal(code, 3);
    assert.equal((JSON.parse(stdout) as { exitCode: number }).exitCode, 3);
  });

  it('ends quietly when the reader of its output is gone', async () => {
    const cli = await startCli(['--help']);
    cli.child.stdout?.destroy();
    const { code, stderr } = await cli.ended;
    assert.deepEqual([code, stderr], [0, '']);
  });
});
