import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'
import tseslint from 'typescript-eslint'

const TS = ['**/*.ts']

// The only files of lib that may know Node; everything else also runs in a browser.
const NODE_ONLY = [
  'lib/index.ts',
  'lib/plugin.ts',
  'lib/plugin/**',
  'lib/server/**',
  'lib/transport/websocket-server*.ts',
  'lib/transport/duplex*.ts',
  'lib/compression/node*.ts',
  'lib/health*',
  'lib/health*/**',
  'lib/reflection*',
  'lib/reflection*/**'
]

export default [
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),

  {
    name: 'claw/types',
    files: TS,
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname }
    },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      // `const Kind = {...} as const; type Kind = ...` is this project's enum. TypeScript itself reports real clashes.
      '@typescript-eslint/no-redeclare': 'off',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports', disallowTypeAnnotations: false }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }]
    }
  },

  {
    // `t.test()` returns a promise only a test that needs the order awaits; tap itself waits for all of them.
    name: 'claw/tests',
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', {
        allowForKnownSafePromises: [{ from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }]
      }]
    }
  },

  {
    name: 'claw/browser-safe',
    files: ['lib/**/*.ts'],
    ignores: NODE_ONLY,
    rules: {
      'no-restricted-globals': ['error', ...['Buffer', 'process', 'global', 'setImmediate', 'clearImmediate', 'require', '__dirname', '__filename']
        .map(name => ({ name, message: 'This file also runs in a browser.' }))],
      'no-restricted-imports': ['error', {
        patterns: [{
          group: ['node:*', 'fastify', 'fastify-plugin', '@fastify/*', 'ws'],
          message: 'This file also runs in a browser.'
        }]
      }],
      'no-restricted-syntax': ['error', {
        selector: "MemberExpression[object.name='globalThis'][property.name=/^(Buffer|process|global|setImmediate)$/]",
        message: 'This file also runs in a browser.'
      }, {
        selector: "TSQualifiedName[left.name='NodeJS']",
        message: 'This file also runs in a browser: no NodeJS types.'
      }]
    }
  }
]
