// `npm run schema`: writes the JSON schema of profile files; see scripts/schema/main.ts.
import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('scripts/schema/main.ts');
