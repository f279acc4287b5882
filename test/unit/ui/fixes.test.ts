import assert from 'node:assert/strict';
import { noChange, type SettingsChange } from '../../../src/migration/settings/change';
import { judge, withFixes } from '../../../src/ui/fixes';
import { factsOf } from '../migration/support';

describe('what a change needs', () => {
  const facts = factsOf('local');
  const on = (...names: string[]): SettingsChange => ({
    ...noChange,
    capabilities: Object.fromEntries(names.map((name) => [name, true])),
  });

  it('is nothing where nothing is wrong', () => {
    assert.equal(withFixes(facts, on('events')), undefined);
    assert.deepEqual(judge(facts, on('events')), {
      refusals: [],
      warnings: [],
      completed: undefined,
    });
  });

  it('is what QEMU would refuse it without', () => {
    const { refusals, completed } = judge(facts, on('postcopy-preempt'));
    assert.equal(refusals.length, 1);
    assert.deepEqual(completed?.added, on('postcopy-ram'));
    assert.deepEqual(completed.change, on('postcopy-ram', 'postcopy-preempt'));
  });

  it('is what it would have no effect without, with what that needs in turn', () => {
    const change = { ...noChange, parameters: { 'multifd-zlib-level': 3 } };
    assert.deepEqual(withFixes(facts, change)?.added, {
      parameters: { 'multifd-compression': 'zlib' },
      capabilities: { multifd: true },
    });
  });

  it('never takes back a part of the change itself', () => {
    assert.equal(withFixes(facts, on('xbzrle', 'multifd')), undefined);
  });

  it('leaves out what is so already', () => {
    const capabilities = facts.capabilities.map(({ name, enabled }) => ({
      name,
      enabled: enabled || name === 'multifd',
    }));
    const change = { ...noChange, parameters: { 'multifd-zlib-level': 3 } };
    assert.deepEqual(withFixes({ ...facts, capabilities }, change)?.added, {
      parameters: { 'multifd-compression': 'zlib' },
      capabilities: {},
    });
  });

  it('is not offered where it does not help', () => {
    const running = { ...facts, migration: { status: 'active' } };
    assert.equal(withFixes(running, on('postcopy-preempt')), undefined);
  });
});
