import { l10n } from 'vscode';
import { profileFormatVersion } from '../../migration/profiles/profileFile';

/** A first profiles file: what can be in it, by an example. */
export function starterText(schema?: string): string {
  const comment = (indent: string, text: string): string =>
    text
      .split('\n')
      .map((line) => `${indent}// ${line}\n`)
      .join('');
  return (
    comment(
      '',
      l10n.t(
        'Profiles: named sets of migration parameters and capabilities. "Apply Profile..." sets one of them\non a machine, or on both sides of a pair, all of it or nothing. Completion (Ctrl+Space) knows all names.',
      ),
    ) +
    '{\n' +
    (schema === undefined ? '' : `  "$schema": ${JSON.stringify(schema)},\n`) +
    `  "version": ${profileFormatVersion},\n  "profiles": {\n` +
    comment('    ', l10n.t('Rename it, change it, or remove it.')) +
    `    ${JSON.stringify(l10n.t('Example'))}: {\n` +
    `      "description": ${JSON.stringify(l10n.t('Twice the usual speed, at most a third of a second of pause'))},\n` +
    '      "parameters": {\n' +
    comment('        ', l10n.t('With units, as people write them.')) +
    '        "max-bandwidth": "256 MiB/s",\n' +
    '        "downtime-limit": "300 ms"\n' +
    '      },\n' +
    '      "capabilities": {\n' +
    '        "events": true\n' +
    '      }\n' +
    comment(
      '      ',
      l10n.t(
        '"source" and "target" can have "parameters" and "capabilities" of their own, for that side of a pair.',
      ),
    ) +
    '    }\n  }\n}\n'
  );
}
