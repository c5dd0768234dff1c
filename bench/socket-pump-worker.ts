// The thread of a SocketPump: blocks for as long as the pump reads.

import { workerData } from 'node:worker_threads'
import { type LoadTools, loadTools } from './load-tools.ts'
import type { PumpTask } from './socket-pump.ts'

const { descriptors, ring, words, isFirst } = workerData as PumpTask
const tools = loadTools() as LoadTools
if (isFirst) tools.comeFirst()
tools.readSockets(descriptors, ring, words)
