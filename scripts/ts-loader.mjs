// Lets Node 20 run this project's TypeScript as it stands: node --import ./scripts/ts-loader.mjs test/x.test.ts
import { register } from 'node:module'

register('./ts-loader-hooks.mjs', import.meta.url)
