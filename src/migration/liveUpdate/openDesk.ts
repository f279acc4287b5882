import { NotConnectedError } from '../../vm/types';
import { Binaries, findCandidates } from './binaries';
import type { OpenUpdateDesk } from './desk';
import { planDocument } from './document';
import { localHost } from './localHost';
import { planLiveUpdate } from './plan';
import { planScript } from './script';
import { LiveUpdateRefusedError } from './types';
import { LiveUpdates } from './updates';

/** Joins planner and runner with this host. */
export const openUpdateDesk: OpenUpdateDesk = ({ registry, runs, journals, locateHelper, log }) => {
  const binaries = new Binaries();
  const host = localHost(locateHelper);
  const updates = new LiveUpdates({ registry, runs, host, journals, log });
  return {
    onDidChange: updates.onDidChange,
    binaries: async (id) => {
      const machine = registry.get(id);
      const executable = (await machine?.identify())?.executable;
      if (machine === undefined || executable === undefined) {
        throw new LiveUpdateRefusedError(
          `Which program the machine at ${id} runs could not be found out.`,
          [],
          'Run this as the user of the QEMU, on its host and outside of a container.',
        );
      }
      const target = await machine
        .connection()
        .execute('query-target')
        .catch((error: unknown) => {
          if (error instanceof NotConnectedError) throw error;
          return undefined;
        });
      return findCandidates(
        {
          executable,
          target: archOf(target),
          searchPath: process.env['PATH'],
        },
        binaries,
      );
    },
    plan: (request) =>
      planLiveUpdate({ machine: (id) => registry.get(id), locateHelper, binaries }, request),
    document: planDocument,
    script: planScript,
    start: (plan) => updates.start(plan),
    active: (id) => updates.active(id),
    last: (id) => updates.last(id),
    recover: (journal, attach) => updates.recover(journal, attach),
    dispose: () => updates.dispose(),
  };
};

function archOf(reply: unknown): string | undefined {
  const arch: unknown =
    typeof reply === 'object' && reply !== null ? Reflect.get(reply, 'arch') : undefined;
  return typeof arch === 'string' ? arch : undefined;
}
