import tseslint from 'typescript-eslint';
import { importX } from 'eslint-plugin-import-x';
import { createTypeScriptImportResolver } from 'eslint-import-resolver-typescript';

/** Rooms from the ground floor up; each may import only itself and those before it. */
const floors = ['qmp', 'fdpass', 'vm', 'migration', 'cli', 'ui'];

const upstairs = floors.map((room, floor) => ({
  target: `./src/${room}`,
  from: [
    ...floors.slice(floor + 1).map((above) => `./src/${above}`),
    './src/extension.ts',
    ...(room === 'ui' ? ['./src/cli'] : []),
  ],
  message: `src/${room} imports downstairs only (see CONTRIBUTING.md).`,
}));

/** Leaves: pure data and arithmetic that import nothing above them. */
const leaves = ['catalogue.ts', 'catalogueData.ts', 'units.ts'].map((file) => ({
  target: `./src/migration/settings/${file}`,
  from: [
    './src/vm',
    './src/fdpass',
    './src/migration/run',
    './src/migration/methods',
    './src/migration/view',
  ],
  message: 'The settings leaves import nothing above them.',
}));

const noVscode = { name: 'vscode', message: 'Only src/ui and src/extension.ts may import vscode.' };
const noSockets = ['node:net', 'node:child_process', 'net', 'child_process'].map((name) => ({
  name,
  message: 'src/ui reaches sockets and processes through src/vm.',
}));

export default tseslint.config(
  {
    ignores: ['dist', 'out', 'node_modules', '.vscode-test', '.cache', 'test/recordings'],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    plugins: { 'import-x': importX },
    settings: { 'import-x/resolver-next': [createTypeScriptImportResolver()] },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'import-x/no-cycle': 'error',
      'import-x/no-restricted-paths': ['error', { zones: [...upstairs, ...leaves] }],
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/ui/**', 'src/extension.ts'],
    rules: { 'no-restricted-imports': ['error', { paths: [noVscode] }] },
  },
  {
    files: ['src/ui/**/*.ts'],
    rules: { 'no-restricted-imports': ['error', { paths: noSockets }] },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Mocha's describe/it and chained assertions read better without these.
      '@typescript-eslint/no-floating-promises': [
        'error',
        { allowForKnownSafeCalls: ['describe', 'it'] },
      ],
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
);
