// What is deployed agrees with the program: ports, paths, names of options, time to stop.
//
// The manifests are checked for what the program relies on; their schema is Kubernetes' own matter.

import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { OPENAPI } from '../../src/serve/http/openapi.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const read = (path: string): string => readFileSync(resolve(ROOT, path), 'utf8')

/** Beside drain_ms: the embedded PostgreSQL and Redis are stopped one after the other. */
const STORES_STOP_MS = 42_000

interface Manifest {
  kind: string
  metadata: { name: string; labels?: Record<string, string> }
  spec: ManifestSpec
  data?: Record<string, string>
}

interface ManifestSpec {
  selector: Record<string, string> & { matchLabels: Record<string, string> }
  ports: { name: string; port: number; targetPort: string }[]
  serviceName: string
  clusterIP?: string
  template: { metadata: { labels: Record<string, string> }; spec: PodSpec }
  volumeClaimTemplates: { metadata: { name: string } }[]
}

interface PodSpec {
  enableServiceLinks: boolean
  terminationGracePeriodSeconds: number
  securityContext: { runAsNonRoot: boolean; runAsUser: number; fsGroupChangePolicy: string }
  volumes: { name: string; configMap?: { name: string } }[]
  containers: {
    image: string
    args: string[]
    env?: { name: string }[]
    ports: { name: string; containerPort: number }[]
    volumeMounts: { name: string; mountPath: string }[]
    securityContext: Record<string, unknown>
    resources: { requests: Record<string, string>; limits: Record<string, string> }
    [probe: `${string}Probe`]: { httpGet: { path: string; port: string } }
  }[]
}

const manifests = globSync('k8s/*.yaml', { cwd: ROOT }).map((path) => parse(read(path)) as Manifest)
const one = (kind: string, name = 'tickd'): Manifest => {
  const found = manifests.find((each) => each.kind === kind && each.metadata?.name === name)
  if (found === undefined) throw new Error(`no ${kind} ${name}`)
  return found
}
const pod = one('StatefulSet').spec.template
const [container] = pod.spec.containers
if (container === undefined) throw new Error('no container')
const mapped = one('ConfigMap').data?.['tickd.yaml'] ?? ''

function loaded(t: Tap, yaml: string): Config {
  const path = join(t.testdir(), 'tickd.yaml')
  writeFileSync(path, yaml)
  return loadConfig({ file: path }).config
}
type Tap = { testdir: () => string }

t.test('kustomization names every manifest, and only those', async (t) => {
  const { resources } = parse(read('k8s/kustomization.yaml')) as { resources: string[] }
  const files = globSync('*.yaml', { cwd: resolve(ROOT, 'k8s') })
  t.same([...resources, 'kustomization.yaml'].sort(), files.sort())
})

t.test('selectors select the pod, and the governing service is headless', async (t) => {
  const { labels } = pod.metadata
  const selectors = [
    one('StatefulSet').spec.selector.matchLabels,
    one('PodDisruptionBudget').spec.selector.matchLabels,
    one('Service').spec.selector,
    one('Service', 'tickd-headless').spec.selector,
  ]
  for (const selector of selectors) {
    t.not(Object.keys(selector).length, 0)
    for (const [key, value] of Object.entries(selector)) t.equal(labels[key], value)
  }
  t.equal(one('Service', one('StatefulSet').spec.serviceName).spec.clusterIP, 'None')
})

t.test(
  'services lead to ports of the pod, and those to listeners of the configuration',
  async (t) => {
    const ports = new Map(container.ports.map(({ name, containerPort }) => [name, containerPort]))
    for (const service of [one('Service'), one('Service', 'tickd-headless')]) {
      for (const { port, targetPort } of service.spec.ports) t.equal(ports.get(targetPort), port)
    }
    const config = loaded(t, mapped)
    const listeners = config.sources.flatMap((s) => (s.type === 'tcp' ? [s.listen] : []))
    listeners.push(config.serve.listen)
    t.same([...ports.values()].sort(), listeners.map(({ port }) => port).sort())
    for (const { host } of listeners) t.equal(host, '0.0.0.0', 'reachable from outside of the pod')
  },
)

t.test(
  'the pod runs with the mapped configuration, which keeps its state on the volume',
  async (t) => {
    const config = loaded(t, mapped)
    const mounts = new Map(container.volumeMounts.map(({ name, mountPath }) => [mountPath, name]))
    const [claim] = one('StatefulSet').spec.volumeClaimTemplates
    t.equal(mounts.get(config.state_dir), claim?.metadata.name)
    const file = container.args[container.args.indexOf('--config') + 1] ?? ''
    const volume = pod.spec.volumes.find(({ name }) => name === mounts.get(resolve(file, '..')))
    t.equal(volume?.configMap?.name, one('ConfigMap').metadata.name)
    t.ok(Object.hasOwn(one('ConfigMap').data ?? {}, file.split('/').at(-1) ?? ''))
  },
)

t.test('probes ask for paths that the program answers', async (t) => {
  for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const) {
    const { path, port } = container[probe].httpGet
    t.ok(Object.hasOwn(OPENAPI.paths, path), `${probe} ${path}`)
    t.ok(container.ports.some(({ name }) => name === port))
  }
  t.equal(container.readinessProbe.httpGet.path, '/readyz')
  t.equal(container.livenessProbe.httpGet.path, '/healthz', 'a dead database restarts nothing')
})

t.test('the environment of the pod has no name that the program would refuse', async (t) => {
  t.equal(pod.spec.enableServiceLinks, false, 'no TICKD_SERVICE_HOST of Kubernetes')
  t.throws(() => loadConfig({ env: { TICKD_SERVICE_HOST: '10.0.0.1' } }), 'which is refused')
  const env = Object.fromEntries((container.env ?? []).map(({ name }) => [name, '']))
  t.ok(Object.keys(env).every((name) => name.startsWith('TICKD_')))
})

t.test('the pod is not root and cannot become it', async (t) => {
  t.equal(pod.spec.securityContext.runAsNonRoot, true)
  t.equal(pod.spec.securityContext.fsGroupChangePolicy, 'OnRootMismatch')
  t.match(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  t.match(read('Dockerfile'), `--uid ${pod.spec.securityContext.runAsUser} `)
  t.ok(container.resources.limits.memory)
})

t.test('there is time to drain before anybody kills', async (t) => {
  const needMs = loadConfig().config.drain_ms + STORES_STOP_MS
  t.ok(pod.spec.terminationGracePeriodSeconds * 1000 > needMs, 'Kubernetes')
  const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(read('systemd/tickd.service'))?.[1])
  t.ok(seconds * 1000 > needMs, 'systemd')
})

t.test('the image copies what exists, is not root, and stops by SIGTERM', async (t) => {
  const lines = read('Dockerfile').replace(/\\\n/g, ' ').split('\n')
  const last = lines.findLastIndex((line) => line.startsWith('FROM '))
  const ignored = read('.dockerignore')
  for (const line of lines.filter((each) => each.startsWith('COPY ') && !each.includes('--from'))) {
    for (const path of line.split(' ').slice(1, -1)) {
      t.ok(existsSync(resolve(ROOT, path)), `${path} exists`)
      t.ok(ignored.split('\n').includes(`!${path}`), `${path} is in the build context`)
    }
  }
  const final = lines.slice(last)
  t.equal(
    final.find((line) => line.startsWith('USER ')),
    'USER tickd',
  )
  t.ok(final.includes('STOPSIGNAL SIGTERM'))
  const path = /127\.0\.0\.1:8080(\/\w+)/.exec(read('Dockerfile'))?.[1] ?? ''
  t.ok(Object.hasOwn(OPENAPI.paths, path), `the health check asks for ${path}`)
})

t.test('the command of the image is one that the program takes', async (t) => {
  const command = /^CMD (\[.*\])$/m.exec(read('Dockerfile'))?.[1] ?? '[]'
  const args = JSON.parse(command) as string[]
  const set = args.filter((_, index) => args[index - 1] === '--set')
  t.equal(args[0], 'run')
  t.equal(loadConfig({ set }).config.serve.listen.host, '0.0.0.0')
  const exposed = /^EXPOSE (.*)$/m.exec(read('Dockerfile'))?.[1]
  t.equal(exposed, '8080 8101 8102')
})

t.test('the examples are right', async (t) => {
  const examples = globSync('examples/*.yaml', { cwd: ROOT })
  t.ok(examples.includes('examples/external.yaml'))
  for (const path of examples) t.ok(loadConfig({ file: resolve(ROOT, path) }), path)
})

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
const skip = hasSystemd ? false : 'systemd-analyze is not on this machine'
t.test('systemd finds no fault with the unit', { skip }, async (t) => {
  // The unit names the place of an installation; verify wants its program to exist.
  const unit = join(t.testdir(), 'tickd.service')
  writeFileSync(unit, read('systemd/tickd.service').replaceAll('/opt/tickd', ROOT))
  const verify = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
  t.equal(verify.stderr, '')
  t.equal(verify.status, 0)
  const args = ['security', '--offline=yes', '--no-pager', unit]
  const report = execFileSync('systemd-analyze', args, { encoding: 'utf8' })
  const level = Number(/exposure level for tickd\.service: ([\d.]+)/.exec(report)?.[1])
  t.ok(level < 2, `the exposure is ${level} of 10`)
})

t.test('the unit checks the configuration that it runs', async (t) => {
  const unit = read('systemd/tickd.service')
  const pre = /^ExecStartPre=\/opt\/tickd\/bin\/tickd check-config (.*)$/m.exec(unit)?.[1]
  const run = /^ExecStart=\/opt\/tickd\/bin\/tickd run (.*)$/m.exec(unit)?.[1]
  t.equal(pre, run)
  t.match(unit, /^KillMode=mixed$/m, 'the stores are stopped by the daemon, not beside it')
  t.notMatch(unit, /^MemoryDenyWriteExecute=/m)
})

t.test('the CI service runs the same command as a person', async (t) => {
  const workflow = parse(read('.github/workflows/ci.yml')) as {
    jobs: { test: { steps: { run?: string; uses?: string }[] } }
  }
  const { steps } = workflow.jobs.test
  t.ok(steps.some(({ run }) => run === 'bash .ci/run'))
  for (const { uses } of steps) if (uses !== undefined) t.match(uses, /^actions\/[\w-]+@v\d+$/)
})
