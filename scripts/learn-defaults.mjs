// `npm run learn-defaults`: writes down what fresh QEMUs report; see scripts/learn/main.ts.
import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('scripts/learn/main.ts');
