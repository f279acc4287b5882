// `npm run bench [-- SECTION...]`: measures and prints; see test/bench/main.ts.
import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('test/bench/main.ts');
