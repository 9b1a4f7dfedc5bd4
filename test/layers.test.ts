// The rule of docs/architecture.md: a file imports from its own room or from rooms to its left. Type imports count.
// Rooms that do not exist yet are no failure.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))
const INDEXES = ['lib/index.ts', 'lib/client/index.ts', 'lib/otel/index.ts']
const CLIENT = 'lib/client/index.ts'
const MANY_LINES = 400

/** What a page may import, and the packages it may then hold. */
const BROWSER_ENTRIES = new Map<string, ReadonlySet<string>>([
  [CLIENT, new Set(['fflate'])],
  ['lib/otel/client.ts', new Set(['@opentelemetry/api'])]
])

/** Which rooms each room may import besides itself. */
const MAY_IMPORT = {
  base: [],
  types: ['base'],
  transport: ['base', 'types'],
  wire: ['base', 'types'],
  compression: ['base', 'types', 'wire'],
  connection: ['base', 'types', 'wire', 'compression'],
  call: ['base', 'types', 'wire', 'compression', 'connection'],
  server: ['base', 'types', 'wire', 'compression', 'connection', 'call', 'transport'],
  client: ['base', 'types', 'wire', 'compression', 'connection', 'call', 'transport'],
  // Ready-made services and hooks on top of the server: health, reflection, otel.
  extras: ['base', 'types', 'wire', 'compression', 'connection', 'call', 'server', 'transport'],
  plugin: ['base', 'types', 'wire', 'compression', 'connection', 'call', 'server', 'transport', 'extras'],
  'client index': ['base', 'types', 'wire', 'compression', 'connection', 'call', 'client', 'transport'],
  index: ['base', 'types', 'wire', 'compression', 'connection', 'call', 'server', 'client', 'transport', 'extras', 'plugin']
} as const satisfies Record<string, readonly string[]>

type Room = keyof typeof MAY_IMPORT

function roomOf (file: string): Room | undefined {
  if (file === 'lib/index.ts') return 'index'
  if (file === CLIENT) return 'client index'
  if (file === 'lib/plugin.ts') return 'plugin'
  if (file === 'lib/options.ts') return 'compression'
  if (file === 'lib/wire/message.ts') return 'base'
  if (file === 'lib/clock.ts') return 'transport' // the platform's time, beside the platform's sockets
  if (file === 'types/fastify.ts') return 'plugin' // what the plugin adds to Fastify's types
  if (file.startsWith('types/')) return 'types'
  if (/^lib\/(otel|health|reflection)/.test(file)) return 'extras'

  const folder = /^lib\/([^/]+)\//.exec(file)?.[1]
  if (folder === undefined) return 'base' // errors.ts, metadata.ts and other leaves beside them
  return folder in MAY_IMPORT ? folder as Room : undefined
}

interface Source {
  file: string
  room: Room | undefined
  lines: number
  /** Relative imports, as paths from the root. */
  imports: string[]
  /** Bare specifiers: packages and Node's own modules. */
  packages: string[]
  /** Names this file passes on from elsewhere. */
  reExports: string[]
}

function readSource (file: string): Source {
  const text = readFileSync(join(root, file), 'utf8')
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true)
  const source: Source = { file, room: roomOf(file), lines: tree.getLineStarts().length, imports: [], packages: [], reExports: [] }
  const importedNames = new Set<string>()

  const addSpecifier = (node: ts.Node | undefined): void => {
    if (node === undefined || !ts.isStringLiteralLike(node)) return
    if (node.text.startsWith('.')) source.imports.push(posix.join(posix.dirname(file), node.text.replace(/\.js$/, '.ts')))
    else source.packages.push(node.text)
  }

  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      addSpecifier(node.moduleSpecifier)
      const { name, namedBindings } = node.importClause ?? {}
      if (name !== undefined) importedNames.add(name.text)
      if (namedBindings !== undefined && ts.isNamespaceImport(namedBindings)) importedNames.add(namedBindings.name.text)
      if (namedBindings !== undefined && ts.isNamedImports(namedBindings)) {
        for (const element of namedBindings.elements) importedNames.add(element.name.text)
      }
    } else if (ts.isExportDeclaration(node)) {
      if (node.moduleSpecifier !== undefined) {
        addSpecifier(node.moduleSpecifier)
        source.reExports.push(node.getText(tree))
      }
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      addSpecifier(node.argument.literal)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      addSpecifier(node.arguments[0])
    }
    ts.forEachChild(node, visit)
  }
  visit(tree)

  // `import { x }` followed by `export { x }` is a re-export in two steps.
  for (const statement of tree.statements) {
    if (ts.isExportDeclaration(statement) && statement.moduleSpecifier === undefined &&
        statement.exportClause !== undefined && ts.isNamedExports(statement.exportClause)) {
      for (const element of statement.exportClause.elements) {
        const name = (element.propertyName ?? element.name).text
        if (importedNames.has(name)) source.reExports.push(`export { ${name} }`)
      }
    }
  }
  return source
}

function sourcesOf (folder: string): Source[] {
  const path = join(root, folder)
  if (!existsSync(path)) return []
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts'))
    .map(file => relative(root, join(path, file)).split(sep).join('/'))
    .sort()
    .map(readSource)
}

function packageName (specifier: string): string {
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

const sources = new Map([...sourcesOf('types'), ...sourcesOf('lib')].map(source => [source.file, source]))

/** One cycle through `start`, or undefined. Finished files are remembered: each file is walked once. */
function findCycle (start: string, finished: Set<string>, path: string[] = []): string[] | undefined {
  const at = path.indexOf(start)
  if (at >= 0) return [...path.slice(at), start]
  if (finished.has(start)) return undefined

  for (const next of sources.get(start)?.imports ?? []) {
    const cycle = findCycle(next, finished, [...path, start])
    if (cycle !== undefined) return cycle
  }
  finished.add(start)
  return undefined
}

t.test('every file of lib belongs to a room', t => {
  t.strictSame([...sources.values()].filter(source => source.room === undefined).map(source => source.file), [])
  t.end()
})

t.test('a file imports from its own room or from rooms to its left', t => {
  const wrong: string[] = []
  for (const { file, room, imports } of sources.values()) {
    if (room === undefined) continue
    for (const imported of imports) {
      const importedRoom = roomOf(imported)
      const allowed: readonly string[] = [room, ...MAY_IMPORT[room]]
      if (imported.startsWith('types/') || imported.startsWith('lib/')) {
        if (importedRoom === undefined || !allowed.includes(importedRoom)) wrong.push(`${file} (${room}) imports ${imported} (${importedRoom})`)
      } else {
        wrong.push(`${file} imports ${imported}, which is neither in lib nor in types`)
      }
    }
  }
  t.strictSame(wrong, [])
  t.end()
})

t.test('no import cycles', t => {
  const finished = new Set<string>()
  const cycles = [...sources.keys()].flatMap(file => {
    const cycle = findCycle(file, finished)
    for (const member of cycle ?? []) finished.add(member)
    return cycle === undefined ? [] : [cycle.join(' -> ')]
  })
  t.strictSame(cycles, [])
  t.end()
})

t.test('only index files re-export, and no file imports them', t => {
  const wrong: string[] = []
  for (const { file, imports, reExports } of sources.values()) {
    if (!INDEXES.includes(file)) wrong.push(...reExports.map(text => `${file} re-exports: ${text}`))
    wrong.push(...imports.filter(imported => INDEXES.includes(imported)).map(imported => `${file} imports ${imported}`))
  }
  t.strictSame(wrong, [])
  t.end()
})

t.test('nothing reachable from the client needs Node', t => {
  const wrong: string[] = []
  for (const [entry, packages] of BROWSER_ENTRIES) {
    const from = new Map<string, string>([[entry, '']])
    for (const file of from.keys()) { // a Map yields the keys added while it is walked
      const source = sources.get(file)
      for (const specifier of source?.packages ?? []) {
        if (isBuiltin(specifier) || !packages.has(packageName(specifier))) {
          wrong.push(`${file} (reached from ${from.get(file) ?? ''}) imports ${specifier}`)
        }
      }
      for (const imported of source?.imports ?? []) if (!from.has(imported)) from.set(imported, file)
    }
  }
  t.strictSame(wrong, [])
  t.end()
})

t.test('every package imported is one the package declares', t => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>
  const declared = new Set([...Object.keys(manifest['dependencies'] ?? {}), ...Object.keys(manifest['peerDependencies'] ?? {})])
  const wrong = [...sources.values()].flatMap(({ file, packages }) => packages
    .filter(specifier => !isBuiltin(specifier) && !declared.has(packageName(specifier)))
    .map(specifier => `${file} imports ${specifier}`))
  t.strictSame(wrong, [])
  t.end()
})

t.test('long files ask to be divided', t => {
  for (const { file, lines } of sources.values()) {
    if (lines > MANY_LINES) t.comment(`${file} has ${lines} lines`)
  }
  t.pass('a warning, not a rule')
  t.end()
})
