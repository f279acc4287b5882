import type { OpenUpdateDesk } from './desk';

/** Joins planner, runner and what this host has of QEMUs. */
export const openUpdateDesk: OpenUpdateDesk = () => {
  throw new Error('Not joined yet');
};
