import type { ViewNode } from '../../migration/view/nodes';
import type { MachineId } from '../../vm/types';
import type { CommandTarget } from '../command';

/**
 * What VS Code holds of a row: only names. The same object for the same row as long as it is there,
 * for VS Code knows rows by identity.
 */
export class NodeHandle implements CommandTarget {
  readonly nodeId: string;
  readonly machineId: MachineId;
  readonly subject?: string;

  constructor(node: ViewNode) {
    this.nodeId = node.id;
    this.machineId = node.machineId;
    if (node.subject !== undefined) this.subject = node.subject;
  }
}
