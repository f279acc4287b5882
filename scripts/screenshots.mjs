import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('scripts/screenshots/main.ts');
