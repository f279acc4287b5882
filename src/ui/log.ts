import { type LogOutputChannel, LogLevel } from 'vscode';
import type { MachineId } from '../vm/types';

const longestPayload = 2000;

/** Writes QMP traffic at trace level, `[vm] ->` and `<-`. */
export function trafficLogger(
  log: Pick<LogOutputChannel, 'logLevel' | 'trace'>,
): (id: MachineId, label: string, direction: 'in' | 'out', text: string) => void {
  return (_id, label, direction, text) => {
    if (log.logLevel !== LogLevel.Trace) return;
    log.trace(`[${label}] ${direction === 'out' ? '->' : '<-'} ${cut(text)}`);
  };
}

function cut(text: string): string {
  if (text.length <= longestPayload) return text;
  return `${text.slice(0, longestPayload)}… (${text.length} characters in all)`;
}
