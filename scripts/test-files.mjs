// The test files under a folder of test/, as paths from the root; none when the folder is missing.
import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { root } from './tap-run.mjs'

export function testFiles (folder) {
  try {
    return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && entry.name.endsWith('.test.ts'))
      .map(entry => relative(root, join(entry.parentPath, entry.name)))
      .sort()
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
}
