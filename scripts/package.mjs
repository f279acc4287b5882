// `npm run package`: one VSIX for each platform with a helper, and one without; see scripts/package/main.ts.
import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('scripts/package/main.ts');
