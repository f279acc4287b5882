import assert from 'node:assert/strict';
import { guardsSwitchover, plannedSettings } from '../../../src/migration/methods/planned';
import type { MethodName, MigrationRequest, Transport } from '../../../src/migration/run/types';

function requestOf(
  method: MethodName,
  transport: Transport,
  guardSwitchover?: boolean,
): MigrationRequest {
  return {
    ...{ source: 'a', target: 'b', method, transport, backendTransfer: 'as-is' },
    ...(guardSwitchover !== undefined && { options: { guardSwitchover } }),
  };
}

describe('the settings of a run', () => {
  it('guard the switchover wherever somebody may stand between the two QEMUs', () => {
    for (const [method, transport, guarded] of [
      ['precopy', 'fd', false],
      ['precopy', 'unix', true],
      ['precopy', 'tcp', true],
      ['shared-ram', 'fd', true],
      ['cpr-transfer', 'unix', true],
      ['postcopy', 'tcp', false],
      ['save', 'unix', false],
    ] as const) {
      const request = requestOf(method, transport);
      assert.equal(guardsSwitchover(request), guarded, `${method} over ${transport}`);
      const { capabilities } = plannedSettings(request, 'source');
      assert.equal(capabilities['pause-before-switchover'] === true, guarded);
    }
  });

  it('guard or do not guard it as a person says, postcopy aside', () => {
    assert.equal(guardsSwitchover(requestOf('precopy', 'fd', true)), true);
    for (const method of ['precopy', 'shared-ram', 'cpr-transfer'] as const) {
      assert.equal(guardsSwitchover(requestOf(method, 'unix', false)), false);
    }
    assert.equal(guardsSwitchover(requestOf('postcopy', 'unix', true)), false);
  });
});
