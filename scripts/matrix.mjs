// `npm run matrix [-- OPTION...]`: breaks migrations and looks from outside; see test/matrix/main.ts.
import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('test/matrix/main.ts');
