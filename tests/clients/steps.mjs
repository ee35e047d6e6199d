// The steps of a JavaScript client program: runs them, prints them, counts them.

import { deepStrictEqual } from 'node:assert'
import { readFileSync, writeFileSync } from 'node:fs'

const counts = { passed: 0, failed: 0 }

export const order = { id: 'o-1', amount: 42 }

export function record(client, ...more) {
  const fields = [{ name: 'id', type: 'string' }, { name: 'amount', type: 'long' }, ...more]
  return JSON.stringify({ type: 'record', name: 'Order', namespace: `outpost.test.${client}`, fields })
}

export async function step(name, action, expected) {
  try {
    const got = await action()
    if (expected !== undefined) deepStrictEqual(got, expected)
    counts.passed += 1
    console.log(`ok ${name}`)
    return got
  } catch (why) {
    counts.failed += 1
    console.log(`FAILED ${name}: ${why}`.replaceAll('\n', ' '))
  }
}

const stateFile = client => `${process.env.STATE_DIR}/${client}.json`

// What the online phase leaves behind for the offline phase: payloads by name.
export function remember(client, payloads) {
  const texts = Object.entries(payloads).map(([name, bytes]) => [name, bytes?.toString('base64') ?? ''])
  writeFileSync(stateFile(client), JSON.stringify(Object.fromEntries(texts)))
}

export function remembered(client) {
  const texts = Object.entries(JSON.parse(readFileSync(stateFile(client), 'utf8')))
  return Object.fromEntries(texts.map(([name, text]) => [name, Buffer.from(text, 'base64')]))
}

export async function run(phases) {
  await phases[process.env.PHASE]()
  console.log(`${counts.passed} passed, ${counts.failed} failed`)
  process.exit(counts.failed || !counts.passed ? 1 : 0)
}
