import { UsageError } from '../exitCodes';

/** What was typed for a switch. @throws {UsageError} when it is neither on nor off */
export function parseSwitch(text: string, what: string): boolean {
  switch (text.toLowerCase()) {
    case 'on':
    case 'true':
    case 'yes':
      return true;
    case 'off':
    case 'false':
    case 'no':
      return false;
    default:
      throw new UsageError(`${what} is either on or off, not "${text}".`);
  }
}
