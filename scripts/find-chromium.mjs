// Where Chromium is: CHROMIUM_PATH, else the usual names on the PATH. Prints it, or fails, when run by itself.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']

export function findChromium (env = process.env) {
  if (env.CHROMIUM_PATH) return isExecutable(env.CHROMIUM_PATH) ? env.CHROMIUM_PATH : undefined

  const folders = [...(env.PATH ?? '').split(delimiter), '/usr/bin', '/usr/local/bin', '/snap/bin']
  for (const name of NAMES) {
    for (const folder of folders) {
      const path = join(folder || '/', name)
      if (isExecutable(path)) return path
    }
  }
  return undefined
}

function isExecutable (path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = findChromium()
  if (path === undefined) process.exitCode = 1
  else console.log(path)
}
