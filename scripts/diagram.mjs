// `npm run diagram`: prints the states of a run into CONTRIBUTING.md; see scripts/diagram/main.ts.
import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('scripts/diagram/main.ts');
