import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('scripts/start/main.ts');
