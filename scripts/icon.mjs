// `npm run icon`: draws media/icon.png anew from media/icon.svg; see scripts/icon/main.ts.
import { runTypeScript } from './bootstrap.mjs';

await runTypeScript('scripts/icon/main.ts');
