import { parseQuantity } from '../../migration/settings/units';
import { UsageError } from '../exitCodes';

/** What was typed for `--max-bandwidth`, in bytes/s; 0: no limit. @throws {UsageError} */
export function parseBandwidth(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (text === 'unlimited') return 0n;
  const parsed = parseQuantity(text, 'bytes/s');
  if (!parsed.ok) throw new UsageError(`--max-bandwidth: ${parsed.problem}`);
  return parsed.value;
}
